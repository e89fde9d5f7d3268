/* Reading shards; pack.c writes them. */
#include "worker/data/shard.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#include "proto/base/str.h"
#include "worker/data/decode.h"
#include "worker/data/source.h"

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static uint64_t get64(const uint8_t *at)
{
    return (uint64_t)get32(at + 4) << 32 | get32(at);
}

void shard_put32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (8 * i));
}

void shard_put64(uint8_t *to, uint64_t v)
{
    shard_put32(to, (uint32_t)v);
    shard_put32(to + 4, (uint32_t)(v >> 32));
}

uint32_t shard_crc(const uint8_t *data, size_t len)
{
    return (uint32_t)crc32_z(0, data, len);
}

/* Where the parts are, once the numbers at the end are known to fit the file. */
struct layout {
    size_t names, index, end; /* offsets; end: of the numbers */
};

static bool check_magic(const uint8_t *data, size_t at, const char *name, struct error *err)
{
    return memcmp(data + at, SHARD_MAGIC, SHARD_MAGIC_BYTES) == 0 ||
           err_set(err, ERR_DATA, "%s: byte %zu: expected \"%s\"; not a shard, or cut off", name,
                   at, SHARD_MAGIC);
}

static bool parse_numbers(const uint8_t *data, size_t len, const char *name, struct shard *out,
                          struct layout *l, struct error *err)
{
    const uint8_t *numbers = data + len - SHARD_END;
    const uint64_t names = get64(numbers), bytes = get64(numbers + 8);
    uint64_t room, all;

    l->end = len - SHARD_END;
    out->counts[0] = get64(numbers + 16);
    out->counts[1] = get64(numbers + 24);
    out->classes = get32(numbers + 32);
    if (names < SHARD_MAGIC_BYTES || names > l->end || bytes > l->end - names)
        return err_set(err, ERR_DATA,
                       "%s: byte %zu: expected names inside the %zu bytes before it, got %" PRIu64
                       " bytes at %" PRIu64,
                       name, l->end, l->end, bytes, names);
    room = l->end - names - bytes;
    all = room / SHARD_RECORD;
    if (out->counts[0] > all || out->counts[1] != all - out->counts[0] || room % SHARD_RECORD)
        return err_set(err, ERR_DATA,
                       "%s: byte %zu: expected as many images as %" PRIu64
                       " bytes of index have records of %d, got %" PRIu64 " and %" PRIu64,
                       name, l->end + 16, room, SHARD_RECORD, out->counts[0], out->counts[1]);
    if (!out->classes || out->classes > CLASSES_MAX || get32(numbers + 36))
        return err_set(err, ERR_DATA,
                       "%s: byte %zu: expected 1 to %d classes and 0, got %" PRIu32 " and %" PRIu32,
                       name, l->end + 32, CLASSES_MAX, out->classes, get32(numbers + 36));
    l->names = (size_t)names;
    l->index = (size_t)(names + bytes);
    out->names = (const char *)data + l->names;
    out->index = data + l->index;
    return true;
}

static bool check_sum(const uint8_t *data, const struct layout *l, const char *name,
                      struct error *err)
{
    size_t at = l->end + SHARD_NUMBERS;
    char hex[SHA256_HEX];

    sha256_of(data + l->names, at - l->names, hex);
    return memcmp(hex, data + at, SHA256_HEX - 1) == 0 ||
           err_set(err, ERR_DATA, "%s: byte %zu: expected the checksum %s, got %.64s: damaged",
                   name, at, hex, (const char *)data + at);
}

static bool check_names(const uint8_t *data, const struct layout *l, const struct shard *s,
                        const char *name, struct error *err)
{
    uint32_t ends = 0;

    for (size_t i = l->names; i < l->index; i++)
        ends += data[i] == '\0';
    return (ends == s->classes && data[l->index - 1] == '\0') ||
           err_set(err, ERR_DATA,
                   "%s: byte %zu: expected the names of %" PRIu32 " classes, got %" PRIu32, name,
                   l->names, s->classes, ends);
}

static bool check_record(const struct shard *s, const struct layout *l, uint64_t i,
                         const char *name, struct error *err)
{
    const uint8_t *record = s->index + i * SHARD_RECORD;
    const uint64_t offset = get64(record);
    const uint32_t len = get32(record + 8);
    struct shard_image image;

    if (offset < SHARD_MAGIC_BYTES + SHARD_CRC_BYTES || offset > l->names || !len ||
        len > ENCODED_MAX || len > l->names - offset)
        return err_set(err, ERR_DATA,
                       "%s: record %" PRIu64 ": expected bytes before %zu, got %" PRIu32
                       " at %" PRIu64,
                       name, i, l->names, len, offset);
    image = shard_image(s, i);
    if (image.label >= s->classes || !image.width || !image.height ||
        image.width > DECODE_MAX_SIDE || image.height > DECODE_MAX_SIDE)
        return err_set(
            err, ERR_DATA,
            "%s: record %" PRIu64 ": expected a class below %" PRIu32
            " and 1 to %d pixels per side, got class %" PRIu32 " and %" PRIu32 " x %" PRIu32,
            name, i, s->classes, DECODE_MAX_SIDE, image.label, image.width, image.height);
    return true;
}

bool shard_parse(const uint8_t *data, size_t len, const char *name, struct shard *out,
                 struct error *err)
{
    struct layout l = {0};
    bool ok;

    *out = (struct shard){.data = data};
    if (len < SHARD_MAGIC_BYTES + SHARD_END)
        return err_set(err, ERR_DATA, "%s: expected at least %d bytes, got %zu", name,
                       SHARD_MAGIC_BYTES + SHARD_END, len);
    ok = check_magic(data, 0, name, err) && check_magic(data, len - SHARD_MAGIC_BYTES, name, err) &&
         parse_numbers(data, len, name, out, &l, err) && check_sum(data, &l, name, err) &&
         check_names(data, &l, out, name, err);
    for (uint64_t i = 0; ok && i < out->counts[0] + out->counts[1]; i++)
        ok = check_record(out, &l, i, name, err);
    return ok;
}

struct shard_image shard_image(const struct shard *s, uint64_t i)
{
    const uint8_t *record = s->index + i * SHARD_RECORD;

    return (struct shard_image){.data = s->data + get64(record),
                                .len = get32(record + 8),
                                .label = get32(record + 12),
                                .width = get32(record + 16),
                                .height = get32(record + 20)};
}

bool shard_intact(const struct image *image, struct error *err)
{
    const uint32_t want = get32(image->data - SHARD_CRC_BYTES);
    const uint32_t got = shard_crc(image->data, image->len);

    return want == got ||
           err_set(err, ERR_DATA, "expected the checksum %08" PRIx32 ", got %08" PRIx32 ": damaged",
                   want, got);
}

static void add_images(struct dataset *d, const struct shard *s, enum split split)
{
    const uint64_t first = split == SPLIT_TRAIN ? 0 : s->counts[0];

    vec_reserve(&d->images, (size_t)s->counts[split]);
    for (uint64_t i = first; i < first + s->counts[split]; i++) {
        const struct shard_image image = shard_image(s, i);
        const int64_t pixels = (int64_t)image.width * image.height;

        vec_push(
            &d->images,
            (struct image){.data = image.data, .len = image.len, .label = (int32_t)image.label});
        if (pixels > d->largest.pixels)
            d->largest.pixels = pixels;
    }
}

bool shard_open(struct dataset *d, const char *path, enum split split, struct error *err)
{
    const char *slash = strrchr(path, '/');
    char *folder =
        slash ? str_ndup(path, slash == path ? 1 : (size_t)(slash - path)) : str_dup(".");
    const struct file_map *m = source_map(d, folder, slash ? slash + 1 : path, err);
    struct shard s;
    const char *name;
    bool ok = m && shard_parse(m->data, m->len, path, &s, err);

    free(folder);
    if (!ok)
        return false;
    d->encoded = true;
    d->classes = (int)s.classes;
    name = s.names;
    for (uint32_t c = 0; c < s.classes; c++, name += strlen(name) + 1)
        vec_push(&d->class_names, str_dup(name));
    add_images(d, &s, split);
    return true;
}
