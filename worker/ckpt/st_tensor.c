/* One tensor: its element type, its values as numbers, its identity. Element types are rows. Files and
 * machine are both little endian, so bytes are copied as they stand. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "worker/ckpt/half.h"
#include "worker/ckpt/st_tensor.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are stored in little endian");

static double from_f64(const unsigned char *p)
{
    double v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static double from_f32(const unsigned char *p)
{
    float v;

    memcpy(&v, p, sizeof(v));
    return (double)v;
}

static double from_f16(const unsigned char *p)
{
    return (double)half_value((uint16_t)(p[0] | (unsigned)p[1] << 8));
}

/* The upper half of a float. */
static double from_bf16(const unsigned char *p)
{
    const unsigned char whole[4] = {0, 0, p[0], p[1]};

    return from_f32(whole);
}

static int64_t from_i64(const unsigned char *p)
{
    int64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static int64_t from_i32(const unsigned char *p)
{
    int32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static int64_t from_u8(const unsigned char *p)
{
    return *p;
}

/* A type reads either as double or as integer. */
static const struct {
    const char *name;
    size_t size;
    double (*real)(const unsigned char *p);
    int64_t (*integer)(const unsigned char *p);
} rows[ST_DTYPE_COUNT] = {
    [ST_F64] = {"F64", 8, from_f64, NULL}, [ST_F32] = {"F32", 4, from_f32, NULL},
    [ST_F16] = {"F16", 2, from_f16, NULL}, [ST_BF16] = {"BF16", 2, from_bf16, NULL},
    [ST_I64] = {"I64", 8, NULL, from_i64}, [ST_I32] = {"I32", 4, NULL, from_i32},
    [ST_U8] = {"U8", 1, NULL, from_u8},
};

size_t st_dtype_size(enum st_dtype t)
{
    return rows[t].size;
}

const char *st_dtype_name(enum st_dtype t)
{
    return rows[t].name;
}

int64_t st_count(const struct st_tensor *t)
{
    int64_t n = 1;

    for (int i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

char *st_describe(const struct st_tensor *t)
{
    struct buf b = buf_new(0);

    buf_fmt(&b, "%s [", rows[t->dtype].name);
    for (int i = 0; i < t->rank; i++)
        buf_fmt(&b, "%s%" PRId64, i ? "," : "", t->shape[i]);
    buf_str(&b, "]");
    return buf_take(&b);
}

bool st_to_double(const struct st_tensor *t, double *out)
{
    const unsigned char *p = t->data;
    int64_t n = st_count(t);

    if (!rows[t->dtype].real)
        return false;
    for (int64_t i = 0; i < n; i++, p += rows[t->dtype].size)
        out[i] = rows[t->dtype].real(p);
    return true;
}

bool st_to_float(const struct st_tensor *t, float *out)
{
    const unsigned char *p = t->data;
    int64_t n = st_count(t);

    if (!rows[t->dtype].real)
        return false;
    for (int64_t i = 0; i < n; i++, p += rows[t->dtype].size)
        out[i] = (float)rows[t->dtype].real(p);
    return true;
}

bool st_to_int64(const struct st_tensor *t, int64_t *out)
{
    const unsigned char *p = t->data;
    int64_t n = st_count(t);

    if (!rows[t->dtype].integer)
        return false;
    for (int64_t i = 0; i < n; i++, p += rows[t->dtype].size)
        out[i] = rows[t->dtype].integer(p);
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct st_tensor *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

const struct st_tensor **st_sorted(const struct st_tensor *tensors, size_t n)
{
    const struct st_tensor **sorted = NEW_ARRAY(const struct st_tensor *, n);

    for (size_t i = 0; i < n; i++)
        sorted[i] = &tensors[i];
    if (n)
        qsort(sorted, n, sizeof(*sorted), by_name);
    return sorted;
}

void st_tensors_sha256(const struct st_tensor *tensors, size_t n, char hex[SHA256_HEX])
{
    const struct st_tensor **sorted = st_sorted(tensors, n);
    struct sha256 *sum = sha256_new();

    for (size_t i = 0; i < n; i++) {
        char *what = st_describe(sorted[i]);

        /* With their NUL bytes, so that no two sets of tensors give the same bytes. */
        sha256_add(sum, sorted[i]->name, strlen(sorted[i]->name) + 1);
        sha256_add(sum, what, strlen(what) + 1);
        sha256_add(sum, sorted[i]->data, sorted[i]->bytes);
        free(what);
    }
    sha256_end(sum, hex);
    free(sorted);
}
