/* MNIST and its relatives: 10 classes of square grey images, in files of images and of labels. */
#include "worker/data/idx.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/str.h"
#include "worker/data/gunzip.h"
#include "worker/data/source.h"

enum {
    CLASSES = 10,
    UNSIGNED_BYTES = 8, /* the type */
    MIN_SIDE = 8,
    MAX_SIDE = 1024,
    MAX_UNPACKED = 1 << 30
};

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool parse_sizes(const uint8_t *data, const char *name, int rank, struct idx *out,
                        struct error *err)
{
    out->record_bytes = 1;
    for (int i = 0; i < rank; i++) {
        size_t at = 4 + 4 * (size_t)i;

        out->size[i] = big_endian(data + at);
        if (!out->size[i])
            return err_set(err, ERR_DATA, "%s: byte %zu: expected a size of at least 1, got 0",
                           name, at);
        out->record_bytes *= i ? out->size[i] : 1;
    }
    return true;
}

bool idx_parse(const uint8_t *data, size_t len, const char *name, int rank, struct idx *out,
               struct error *err)
{
    size_t header = 4 + 4 * (size_t)rank, rest;

    *out = (struct idx){0};
    if (len < header)
        return err_set(err, ERR_DATA, "%s: expected a header of %zu bytes, got %zu bytes", name,
                       header, len);
    if (big_endian(data) != (UNSIGNED_BYTES << 8 | (uint32_t)rank))
        return err_set(
            err, ERR_DATA,
            "%s: byte 0: expected %08x (unsigned bytes in %d dimensions), got %08" PRIx32, name,
            UNSIGNED_BYTES << 8 | rank, rank, big_endian(data));
    if (!parse_sizes(data, name, rank, out, err))
        return false;
    rest = len - header;
    out->records = data + header;
    out->present = rest / out->record_bytes;
    if (out->present < out->size[0] || rest == out->size[0] * out->record_bytes)
        return true;
    return err_set(err, ERR_DATA,
                   "%s: expected %zu bytes for %" PRIu32 " records of %zu, got %zu bytes", name,
                   header + out->size[0] * out->record_bytes, out->size[0], out->record_bytes, len);
}

/* One file, unpacked where it is packed. */
struct part {
    char *path;
    struct buf unpacked;
    struct idx idx;
};

static void part_close(struct part *p)
{
    buf_free(&p->unpacked);
    free(p->path);
}

static bool part_open(struct dataset *d, const char *dir, const char *name, int rank,
                      struct part *p, struct error *err)
{
    char *plain = str_path(dir, name), *packed = str_fmt("%s.gz", name);
    bool gz = !file_exists(plain);
    const struct file_map *m = source_map(d, dir, gz ? packed : name, err);
    bool ok = m != NULL;

    *p =
        (struct part){.path = str_path(dir, gz ? packed : name), .unpacked = buf_new(MAX_UNPACKED)};
    if (ok && gz)
        ok = gunzip(m->data, m->len, p->path, &p->unpacked, err) &&
             idx_parse((const uint8_t *)buf_text(&p->unpacked), p->unpacked.len, p->path, rank,
                       &p->idx, err);
    else if (ok)
        ok = idx_parse(m->data, m->len, p->path, rank, &p->idx, err);
    else if (gz && err)
        err_wrap(err, "neither %s nor its .gz can be read", plain);
    free(plain);
    free(packed);
    return ok;
}

/* The records that both files have. */
static bool common(struct dataset *d, const struct part *images, const struct part *labels,
                   size_t *n, struct error *err)
{
    const struct part *shorter = images->idx.present < labels->idx.present ? images : labels;
    size_t all = images->idx.size[0];

    *n = shorter->idx.present;
    if (labels->idx.size[0] != all)
        return err_set(err, ERR_DATA,
                       "%s: expected a label for each of the %zu images, got %" PRIu32,
                       labels->path, all, labels->idx.size[0]);
    if (!*n)
        return err_set(err, ERR_DATA, "%s: expected %zu records, got none", shorter->path, all);
    return *n >= all || source_corrupt(d, (int64_t)(all - *n), err,
                                       "%s: expected %zu records of %zu bytes, got %zu whole ones",
                                       shorter->path, all, shorter->idx.record_bytes, *n);
}

/* Three equal channels, because the models take colour images. */
static void widen(const uint8_t *grey, size_t plane, uint8_t *out)
{
    for (int c = 0; c < 3; c++)
        memcpy(out + (size_t)c * plane, grey, plane);
}

static bool add_images(struct dataset *d, const struct part *images, const struct part *labels,
                       size_t n, struct error *err)
{
    size_t plane = images->idx.record_bytes;
    uint8_t *to;

    d->made = to = mem_try_aligned(64, n * 3 * plane);
    if (!to)
        return err_set(err, ERR_TOO_LARGE, "%s: no memory for %zu images", images->path, n);
    vec_reserve(&d->images, n);
    for (size_t i = 0; i < n; i++) {
        uint8_t label = labels->idx.records[i];

        if (label >= CLASSES) {
            if (!source_corrupt(d, 1, err, "%s: record %zu: expected a label of 0 to %d, got %d",
                                labels->path, i, CLASSES - 1, label))
                return false;
            continue;
        }
        widen(images->idx.records + i * plane, plane, to);
        vec_push(&d->images, (struct image){.data = to, .label = label});
        to += 3 * plane;
    }
    return true;
}

static bool fill(struct dataset *d, const struct part *images, const struct part *labels,
                 struct error *err)
{
    const uint32_t *size = images->idx.size;
    size_t n;

    if (size[1] != size[2] || size[1] < MIN_SIDE || size[1] > MAX_SIDE)
        return err_set(err, ERR_DATA,
                       "%s: byte 8: expected square images of %d to %d pixels, got %" PRIu32
                       " x %" PRIu32,
                       images->path, MIN_SIDE, MAX_SIDE, size[1], size[2]);
    d->classes = CLASSES;
    d->size = (int)size[1];
    return common(d, images, labels, &n, err) && add_images(d, images, labels, n, err);
}

bool idx_open(struct dataset *d, const char *dir, enum split split, struct error *err)
{
    const char *prefix = split == SPLIT_TRAIN ? "train" : "t10k";
    char *image_file = str_fmt("%s-images-idx3-ubyte", prefix);
    char *label_file = str_fmt("%s-labels-idx1-ubyte", prefix);
    struct part images = {0}, labels = {0};
    bool ok = part_open(d, dir, image_file, 3, &images, err) &&
              part_open(d, dir, label_file, 1, &labels, err) && fill(d, &images, &labels, err);

    part_close(&images);
    part_close(&labels);
    free(image_file);
    free(label_file);
    return ok;
}
