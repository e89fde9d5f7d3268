#include "worker/data/pack.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/crew.h"
#include "proto/base/file.h"
#include "proto/base/pulse.h"
#include "proto/base/str.h"
#include "worker/data/format.h"
#include "worker/data/frame.h"
#include "worker/data/resample.h"
#include "worker/data/shard.h"
#include "worker/data/source.h"

enum {
    BATCH = 64 /* images that are prepared before they are written in order */
};

/* An image on its way into the file. */
struct parcel {
    uint8_t *made; /* by jpeg_encode, or NULL */
    struct buf file;
    const uint8_t *data;
    size_t len;
    int width, height;
    bool ok;
    struct error err;
};

/* Of one thread. */
struct packer {
    struct framer *framer;
    struct resampler *resampler;
    uint8_t *planes, *rgb;
    size_t room;
};

struct job {
    const struct pack_options *o;
    const struct dataset *data;
    struct packer *packers;
    struct parcel parcels[BATCH];
    int64_t first;

    struct file_writer file;
    struct sha256 *sum; /* of what is written behind the images */
    uint64_t at;
    struct buf index;
    struct pack_result *result;
};

static void planes_to_rgb(const uint8_t *planes, size_t plane, uint8_t *rgb)
{
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < 3; c++)
            *rgb++ = planes[c * plane + i];
}

static bool make_smaller(struct packer *k, const struct picture *p, const struct pack_options *o,
                         struct parcel *out)
{
    struct cutout w = crop_centre(p->width, p->height, o->size, o->size);
    const struct pixels in = {p->rgb, 3 * (ptrdiff_t)p->width, 3, 1, p->width, p->height};
    size_t plane;

    w.left = w.top = 0;
    out->width = w.cols = w.width;
    out->height = w.rows = w.height;
    plane = (size_t)w.cols * (size_t)w.rows;
    if (plane > k->room) {
        k->planes = mem_realloc(k->planes, 3 * plane, 1);
        k->rgb = mem_realloc(k->rgb, 3 * plane, 1);
        k->room = plane;
    }
    resample(k->resampler, &in, &w, k->planes);
    planes_to_rgb(k->planes, plane, k->rgb);
    out->data = out->made = jpeg_encode(k->rgb, w.cols, w.rows, o->quality, &out->len, &out->err);
    return out->made;
}

/* Decodes every image: what is in a shard was good. */
static void prepare(void *arg, int member, int64_t item)
{
    struct job *j = arg;
    struct packer *k = &j->packers[member];
    struct parcel *out = &j->parcels[item];
    const int64_t i = j->first + item;
    const struct picture *p = framer_picture(k->framer, i, &out->err);

    out->ok = p != NULL;
    if (!out->ok)
        return;
    out->width = p->width;
    out->height = p->height;
    if (j->o->size && (p->width < p->height ? p->width : p->height) > j->o->size)
        out->ok = make_smaller(k, p, j->o, out);
    else
        out->ok = dataset_file(j->data, i, &out->file, &out->data, &out->len, &out->err);
    pulse_beat();
}

static bool put(struct job *j, const void *data, size_t len, struct error *err)
{
    j->at += len;
    return file_writer_add(&j->file, data, len, err);
}

static bool write_parcel(struct job *j, struct parcel *p, int32_t label, struct error *err)
{
    uint8_t crc[SHARD_CRC_BYTES], record[SHARD_RECORD];
    bool ok = p->ok || err_set(err, p->err.code, "%s", p->err.msg);

    if (ok) {
        shard_put32(crc, shard_crc(p->data, p->len));
        shard_put64(record, j->at + SHARD_CRC_BYTES);
        shard_put32(record + 8, (uint32_t)p->len);
        shard_put32(record + 12, (uint32_t)label);
        shard_put32(record + 16, (uint32_t)p->width);
        shard_put32(record + 20, (uint32_t)p->height);
        buf_add(&j->index, record, sizeof(record));
        ok = put(j, crc, sizeof(crc), err) && put(j, p->data, p->len, err);
        *(p->made ? &j->result->made : &j->result->kept) += 1;
    }
    free(p->made);
    p->made = NULL;
    return ok;
}

static bool write_images(struct job *j, struct crew *crew, struct error *err)
{
    const int64_t n = dataset_count(j->data);
    bool ok = true;

    for (j->first = 0; ok && j->first < n; j->first += BATCH) {
        const int64_t count = n - j->first < BATCH ? n - j->first : BATCH;

        crew_run(crew, count, prepare, j);
        for (int64_t i = 0; i < count; i++)
            ok = write_parcel(j, &j->parcels[i], dataset_label(j->data, j->first + i),
                              ok ? err : NULL) &&
                 ok;
    }
    return ok;
}

static void packers_free(struct packer *k, int n)
{
    for (int i = 0; i < n; i++) {
        framer_free(k[i].framer);
        resampler_free(k[i].resampler);
        free(k[i].planes);
        free(k[i].rgb);
    }
    free(k);
}

static bool write_split(struct job *j, const struct dataset *d, struct error *err)
{
    const int threads = dataset_decode_threads(d);
    struct crew *crew = crew_new(threads, err);
    bool ok;

    if (!crew)
        return false;
    j->data = d;
    j->packers = NEW_ARRAY(struct packer, (size_t)threads);
    for (int i = 0; i < threads; i++)
        j->packers[i] =
            (struct packer){.framer = framer_new(d, NULL), .resampler = resampler_new()};
    ok = write_images(j, crew, err);
    packers_free(j->packers, threads);
    crew_free(crew);
    return ok;
}

/* What the checksum covers. */
static bool put_summed(struct job *j, const void *data, size_t len, struct error *err)
{
    sha256_add(j->sum, data, len);
    return put(j, data, len, err);
}

static bool write_end(struct job *j, const struct dataset *train, const struct dataset *test,
                      struct error *err)
{
    const uint64_t names_at = j->at;
    uint8_t numbers[SHARD_NUMBERS] = {0};
    char hex[SHA256_HEX];
    struct buf names = buf_new(0);
    bool ok;

    for (int c = 0; c < dataset_classes(train); c++)
        buf_add(&names, dataset_class_name(train, c), strlen(dataset_class_name(train, c)) + 1);
    shard_put64(numbers, names_at);
    shard_put64(numbers + 8, names.len);
    shard_put64(numbers + 16, (uint64_t)dataset_count(train));
    shard_put64(numbers + 24, (uint64_t)dataset_count(test));
    shard_put32(numbers + 32, (uint32_t)dataset_classes(train));
    j->sum = sha256_new();
    ok = put_summed(j, buf_text(&names), names.len, err) &&
         put_summed(j, buf_text(&j->index), j->index.len, err) &&
         put_summed(j, numbers, sizeof(numbers), err);
    sha256_end(j->sum, hex);
    buf_free(&names);
    return ok && put(j, hex, SHA256_HEX - 1, err) && put(j, SHARD_MAGIC, SHARD_MAGIC_BYTES, err);
}

bool pack_shard(const struct dataset *train, const struct dataset *test, const char *path,
                const struct pack_options *o, struct pack_result *result, struct error *err)
{
    struct job *j = NEW(struct job);
    bool ok;

    ASSERT(dataset_encoded(train) && dataset_encoded(test));
    *result = (struct pack_result){0};
    j->o = o;
    j->result = result;
    j->index = buf_new(0);
    for (int i = 0; i < BATCH; i++)
        j->parcels[i].file = buf_new(ENCODED_MAX);
    ok = file_writer_open(&j->file, path, 0644, err) &&
         put(j, SHARD_MAGIC, SHARD_MAGIC_BYTES, err) && write_split(j, train, err) &&
         write_split(j, test, err) && write_end(j, train, test, err) &&
         file_writer_commit(&j->file, err);
    file_writer_abandon(&j->file);
    result->bytes = (int64_t)j->at;
    for (int i = 0; i < BATCH; i++)
        buf_free(&j->parcels[i].file);
    buf_free(&j->index);
    free(j);
    return ok;
}
