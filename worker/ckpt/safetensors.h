/* The safetensors format: 8 bytes of header length (little endian), a JSON header, raw little-endian
 * tensors in row-major order. Reading checks everything before it hands anything out: header size
 * (at most 100 MB), JSON, names, types, shapes against offsets, overlaps and holes, the end of the
 * file. ERR_DATA names the file, the tensor and the figures. */
#ifndef WORKER_CKPT_SAFETENSORS_H
#define WORKER_CKPT_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/sha256.h"

enum st_dtype {
    ST_F64,
    ST_F32,
    ST_F16,
    ST_BF16,
    ST_I64,
    ST_I32,
    ST_U8,
    ST_DTYPE_COUNT
};
enum {
    ST_MAX_RANK = 8
};

size_t st_dtype_size(enum st_dtype t);
const char *st_dtype_name(enum st_dtype t);

struct st_tensor {
    const char *name;
    enum st_dtype dtype;
    int rank;
    int64_t shape[ST_MAX_RANK];
    const void *data; /* may be unaligned when read from a foreign file */
    size_t bytes;
};
/* Elements; 1 for a scalar. */
int64_t st_count(const struct st_tensor *t);
/* "F32 [16,3,3,3]"; free(). */
char *st_describe(const struct st_tensor *t);
/* Converts F64, F32, F16, BF16 into float. False for integer tensors. */
bool st_to_float(const struct st_tensor *t, float *out);
bool st_to_double(const struct st_tensor *t, double *out);
bool st_to_int64(const struct st_tensor *t, int64_t *out);

struct safetensors;
struct safetensors *st_open(const char *path, struct error *err);
/* The same over bytes in memory, which must stay; `name` is for messages. For tests and fuzzing. */
struct safetensors *st_open_memory(const void *data, size_t len, const char *name,
                                   struct error *err);
void st_close(struct safetensors *s); /* NULL is fine */
const char *st_path(const struct safetensors *s);
size_t st_tensors(const struct safetensors *s);
const struct st_tensor *st_at(const struct safetensors *s, size_t i);
const struct st_tensor *st_find(const struct safetensors *s, const char *name); /* or NULL */
/* A string of __metadata__, or NULL. */
const char *st_meta(const struct safetensors *s, const char *key);

struct st_meta {
    const char *key, *value;
};
/* Writes a file that depends on its arguments alone: tensors and metadata keys sorted by name, header
 * padded with spaces to a multiple of 8, replaced atomically. The sha256 of the whole file goes to hex
 * unless that is NULL. */
bool st_write(const char *path, const struct st_tensor *tensors, size_t n_tensors,
              const struct st_meta *meta, size_t n_meta, char hex[SHA256_HEX], struct error *err);

/* Identity of a set of tensors, whatever file and order they came in: over name, type, shape and
 * bytes, sorted by name. */
void st_tensors_sha256(const struct st_tensor *tensors, size_t n, char hex[SHA256_HEX]);

#endif
