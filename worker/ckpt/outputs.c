#define _GNU_SOURCE
#include "worker/ckpt/outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/ckpt/half.h"
#include "worker/ckpt/st_tensor.h"

/* Where one tensor lies in the file. */
struct place {
    char *name;
    size_t at;
    size_t count; /* numbers in a sample */
    size_t bytes; /* of a sample */
};

struct outputs {
    int64_t views, samples, block;
    enum st_dtype dtype;
    struct place values[OUTPUTS_MAX];
    size_t n_values, checksums; /* where they begin */
    struct buf header;
    size_t bytes;
    char *folder, *path;
    struct file_map file;
    const unsigned char *data; /* of the map, or the caller's */
    int fd;                    /* to write; -1: not opened yet */
};

static size_t place_count(const struct outputs_value *v)
{
    size_t n = 1;

    for (int k = 0; k < v->rank; k++)
        n *= (size_t)v->shape[k];
    return n;
}

static struct st_tensor tensor_of(const struct outputs *o, const struct outputs_value *v)
{
    struct st_tensor t = {.name = v->name, .dtype = o->dtype, .rank = v->rank + 2};

    t.shape[0] = o->views;
    t.shape[1] = o->samples;
    memcpy(t.shape + 2, v->shape, (size_t)v->rank * sizeof(*v->shape));
    t.bytes = (size_t)st_count(&t) * st_dtype_size(t.dtype);
    return t;
}

/* The tensors lie in the order of their names. */
static void lay_out(struct outputs *o, const struct outputs_spec *spec)
{
    struct st_tensor tensors[OUTPUTS_MAX + 1];
    const struct st_tensor **sorted;
    const size_t n = spec->n_values;

    for (size_t i = 0; i < n; i++)
        tensors[i] = tensor_of(o, &spec->values[i]);
    tensors[n] = (struct st_tensor){
        .name = "checksums", .dtype = ST_I64, .rank = 2, .shape = {o->views, outputs_blocks(o)}};
    tensors[n].bytes = (size_t)st_count(&tensors[n]) * sizeof(int64_t);
    o->header = st_header(tensors, n + 1, spec->meta, spec->n_meta);
    o->bytes = o->header.len;
    sorted = st_sorted(tensors, n + 1);
    for (size_t k = 0; k <= n; k++) {
        size_t i = (size_t)(sorted[k] - tensors);

        *(i == n ? &o->checksums : &o->values[i].at) = o->bytes;
        o->bytes += sorted[k]->bytes;
    }
    free(sorted);
}

struct outputs *outputs_new(const char *folder, const struct outputs_spec *spec)
{
    struct outputs *o = NEW(struct outputs);
    char hex[SHA256_HEX];

    ASSERT(spec->n_values <= OUTPUTS_MAX && spec->views > 0 && spec->block > 0);
    o->views = spec->views;
    o->samples = spec->samples;
    o->block = spec->block;
    o->dtype = spec->dtype;
    o->n_values = spec->n_values;
    o->fd = -1;
    for (size_t i = 0; i < o->n_values; i++) {
        size_t count = place_count(&spec->values[i]);

        o->values[i] = (struct place){.name = str_dup(spec->values[i].name),
                                      .count = count,
                                      .bytes = count * st_dtype_size(o->dtype)};
    }
    lay_out(o, spec);
    sha256_of(o->header.data, o->header.len, hex);
    o->folder = str_dup(folder);
    o->path = str_fmt("%s/%s.safetensors", folder, hex);
    return o;
}

static void close_writer(struct outputs *o)
{
    if (o->fd >= 0)
        close(o->fd);
    o->fd = -1;
}

void outputs_free(struct outputs *o)
{
    if (!o)
        return;
    for (size_t i = 0; i < o->n_values; i++)
        free(o->values[i].name);
    close_writer(o);
    file_unmap(&o->file);
    buf_free(&o->header);
    free(o->folder);
    free(o->path);
    free(o);
}

const char *outputs_path(const struct outputs *o)
{
    return o->path;
}

size_t outputs_bytes(const struct outputs *o)
{
    return o->bytes;
}

int64_t outputs_blocks(const struct outputs *o)
{
    return (o->samples + o->block - 1) / o->block;
}

int64_t outputs_block_samples(const struct outputs *o, int64_t block)
{
    int64_t left = o->samples - block * o->block;

    return left < o->block ? left : o->block;
}

size_t outputs_count(const struct outputs *o, size_t i)
{
    return o->values[i].count;
}

static bool begins_right(const struct outputs *o, const void *data, size_t len)
{
    return len >= o->header.len && memcmp(data, o->header.data, o->header.len) == 0;
}

bool outputs_open_memory(struct outputs *o, const void *data, size_t len, struct error *err)
{
    if (!begins_right(o, data, len) || len != o->bytes)
        return err_set(err, ERR_DATA,
                       "%s: expected the header that its name is the hash of, and %zu bytes, got "
                       "%s header and %zu bytes",
                       o->path, o->bytes, begins_right(o, data, len) ? "that" : "another", len);
    o->data = data;
    return true;
}

bool outputs_open(struct outputs *o, struct error *err)
{
    file_unmap(&o->file);
    o->data = NULL;
    close_writer(o);
    return file_map(&o->file, o->path, err) &&
           outputs_open_memory(o, o->file.data, o->file.len, err);
}

/* A file with nothing but its header is a beginning, whoever made it; a shorter or other one is none. */
static bool is_begun(const struct outputs *o, bool *there, size_t *len)
{
    struct file_map m;
    bool ok;

    *there = file_exists(o->path);
    if (!*there || !file_map(&m, o->path, NULL))
        return false;
    ok = begins_right(o, m.data, m.len) && m.len <= o->bytes;
    *len = m.len;
    file_unmap(&m);
    return ok;
}

static bool open_to_write(struct outputs *o, struct error *err)
{
    if (o->fd < 0)
        o->fd = open(o->path, O_RDWR | O_CLOEXEC);
    return o->fd >= 0 || err_set(err, ERR_IO, "open %s: %s", o->path, strerror(errno));
}

static bool make_locked(struct outputs *o, bool *damaged, struct error *err)
{
    size_t len = o->header.len;
    bool there, begun = is_begun(o, &there, &len);

    *damaged = there && !begun;
    if (!begun && !file_replace(o->path, o->header.data, o->header.len, 0644, err))
        return false;
    if (begun)
        file_touch(o->path); /* what is not used for long may be removed */
    if (begun && len == o->bytes)
        return true;
    if (open_to_write(o, err) && file_reserve(o->fd, o->path, o->bytes, err))
        return true;
    if (!begun)
        unlink(o->path);
    return err_wrap(err, "room for %.1f MB", (double)o->bytes / 1e6);
}

/* Held until the descriptor is closed. */
static int lock_folder(const struct outputs *o, struct error *err)
{
    char *path = str_path(o->folder, "lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        err_set(err, ERR_IO, "lock %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    free(path);
    return fd;
}

bool outputs_make(struct outputs *o, bool *damaged, struct error *err)
{
    int lock = file_make_dirs(o->folder, 0755, err) ? lock_folder(o, err) : -1;
    bool ok;

    *damaged = false;
    if (lock < 0)
        return false;
    ok = make_locked(o, damaged, err);
    close(lock);
    return ok;
}

static size_t sample_at(const struct outputs *o, int64_t view, int64_t sample, size_t i)
{
    return o->values[i].at + (size_t)(view * o->samples + sample) * o->values[i].bytes;
}

static size_t checksum_at(const struct outputs *o, int64_t view, int64_t block)
{
    return o->checksums + (size_t)(view * outputs_blocks(o) + block) * sizeof(int64_t);
}

/* bytes[i]: the block's of value i. */
static int64_t checksum(const struct outputs *o, int64_t view, int64_t block,
                        const void *const bytes[OUTPUTS_MAX])
{
    const int64_t where[] = {view, block};
    const size_t n = (size_t)outputs_block_samples(o, block);
    struct sha256 *sum = sha256_new();
    char hex[SHA256_HEX];
    int64_t v;

    sha256_add(sum, where, sizeof(where));
    for (size_t i = 0; i < o->n_values; i++)
        sha256_add(sum, bytes[i], n * o->values[i].bytes);
    sha256_end(sum, hex);
    hex[15] = '\0';
    v = (int64_t)strtoull(hex, NULL, 16);
    return v ? v : 1;
}

enum outputs_state outputs_look(const struct outputs *o, int64_t view, int64_t block)
{
    const void *bytes[OUTPUTS_MAX];
    int64_t stored;

    memcpy(&stored, o->data + checksum_at(o, view, block), sizeof(stored));
    if (!stored)
        return OUTPUTS_MISSING;
    for (size_t i = 0; i < o->n_values; i++)
        bytes[i] = o->data + sample_at(o, view, block * o->block, i);
    return stored == checksum(o, view, block, bytes) ? OUTPUTS_WHOLE : OUTPUTS_DAMAGED;
}

static bool check(const struct outputs *o, int64_t view, int64_t first, size_t i,
                  const float *values, size_t n, struct error *err)
{
    const float most = o->dtype == ST_F16 ? HALF_MAX : INFINITY;

    for (size_t k = 0; k < n; k++)
        if (!isfinite(values[k]) || fabsf(values[k]) > most)
            return err_set(err, ERR_DATA,
                           "%s of training image %" PRId64 " in view %" PRId64
                           ", number %zu: expected a finite one%s, got %g",
                           o->values[i].name, first + (int64_t)(k / o->values[i].count), view,
                           k % o->values[i].count,
                           o->dtype == ST_F16 ? " of at most 65504, for float16" : "",
                           (double)values[k]);
    return true;
}

/* As it is stored; free(). */
static void *pack(const struct outputs *o, const float *values, size_t n)
{
    void *bytes = mem_calloc(n, st_dtype_size(o->dtype));
    uint16_t *halves = bytes;

    if (o->dtype == ST_F16)
        for (size_t k = 0; k < n; k++)
            halves[k] = half_of(values[k]);
    else
        memcpy(bytes, values, n * sizeof(*values));
    return bytes;
}

/* The checksum last: until then the block is not there. */
static bool write_block(struct outputs *o, int64_t view, int64_t block,
                        const void *const bytes[OUTPUTS_MAX], struct error *err)
{
    const size_t n = (size_t)outputs_block_samples(o, block);
    const int64_t sum = checksum(o, view, block, bytes);

    for (size_t i = 0; i < o->n_values; i++)
        if (!file_write_at(o->fd, o->path, bytes[i], n * o->values[i].bytes,
                           sample_at(o, view, block * o->block, i), err))
            return false;
    return file_write_at(o->fd, o->path, &sum, sizeof(sum), checksum_at(o, view, block), err);
}

bool outputs_put(struct outputs *o, int64_t view, int64_t block, const float *const *values,
                 struct error *err)
{
    const size_t n = (size_t)outputs_block_samples(o, block);
    void *bytes[OUTPUTS_MAX] = {NULL};
    bool ok = open_to_write(o, err);

    for (size_t i = 0; ok && i < o->n_values; i++) {
        ok = check(o, view, block * o->block, i, values[i], n * o->values[i].count, err);
        bytes[i] = pack(o, values[i], n * o->values[i].count);
    }
    ok = ok && write_block(o, view, block, (const void *const *)bytes, err);
    for (size_t i = 0; i < o->n_values; i++)
        free(bytes[i]);
    return ok;
}

bool outputs_flush(struct outputs *o, struct error *err)
{
    bool ok = o->fd < 0 || file_fsync(o->fd, o->path, err);

    close_writer(o);
    return ok;
}

void outputs_get(const struct outputs *o, int64_t view, int64_t sample, size_t i, float *out)
{
    const unsigned char *from = o->data + sample_at(o, view, sample, i);

    if (o->dtype == ST_F32) {
        memcpy(out, from, o->values[i].bytes);
        return;
    }
    for (size_t k = 0; k < o->values[i].count; k++) {
        uint16_t half;

        memcpy(&half, from + k * sizeof(half), sizeof(half));
        out[k] = half_value(half);
    }
}
