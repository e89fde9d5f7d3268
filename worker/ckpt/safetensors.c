/* Reading. The file stays mapped while it is open; names point into the parsed header, data into the
 * map. */
#include "worker/ckpt/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"

static const size_t max_header = 100000000;
static const char meta_key[] = "__metadata__";

struct safetensors {
    char *path;
    struct file_map file; /* empty when the bytes are the caller's */
    const unsigned char *body;
    size_t body_len;
    struct json *header;
    VEC(struct st_tensor) tensors; /* by name */
};

static bool read_dtype(const struct json *j, struct st_tensor *t, struct error *err)
{
    const char *name = js_string(j, NULL);

    if (!name)
        return err_set(err, ERR_DATA, "dtype: expected a string, got %s", js_kind_name(js_kind(j)));
    for (enum st_dtype i = 0; i < ST_DTYPE_COUNT; i++)
        if (strcmp(name, st_dtype_name(i)) == 0) {
            t->dtype = i;
            return true;
        }
    return err_set(err, ERR_DATA, "dtype %s is not known here", name);
}

/* Fills an array of at most max non-negative integers. */
static bool read_sizes(const struct json *j, const char *what, int64_t *out, size_t max, int *n_out,
                       struct error *err)
{
    size_t n = js_len(j);

    if (js_kind(j) != JS_ARRAY)
        return err_set(err, ERR_DATA, "%s: expected an array, got %s", what,
                       js_kind_name(js_kind(j)));
    if (n > max)
        return err_set(err, ERR_DATA, "%s: expected at most %zu numbers, got %zu", what, max, n);
    for (size_t i = 0; i < n; i++) {
        out[i] = js_int(js_at(j, i), -1);
        if (out[i] < 0)
            return err_set(err, ERR_DATA, "%s: number %zu is not a whole number of 0 or more", what,
                           i);
    }
    *n_out = (int)n;
    return true;
}

/* Bytes that type and shape ask for. */
static bool needed_bytes(const struct st_tensor *t, int64_t *bytes)
{
    *bytes = (int64_t)st_dtype_size(t->dtype);
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(*bytes, t->shape[i], bytes))
            return false;
    return true;
}

static bool read_place(const struct safetensors *s, const struct json *j, struct st_tensor *t,
                       struct error *err)
{
    int64_t at[2], needed;
    int n;
    char *what;

    if (!read_sizes(j, "data_offsets", at, 2, &n, err))
        return false;
    if (n != 2 || at[0] > at[1] || (uint64_t)at[1] > s->body_len)
        return err_set(err, ERR_DATA,
                       "data_offsets: expected a begin and an end within %zu bytes of data, got %d "
                       "numbers, %" PRId64 " to %" PRId64,
                       s->body_len, n, n > 0 ? at[0] : 0, n > 1 ? at[1] : 0);
    if (!needed_bytes(t, &needed) || needed != at[1] - at[0]) {
        what = st_describe(t);
        err_set(err, ERR_DATA, "%s does not fit into %" PRId64 " bytes", what, at[1] - at[0]);
        free(what);
        return false;
    }
    t->data = s->body + at[0];
    t->bytes = (size_t)needed;
    return true;
}

static bool read_tensor(struct safetensors *s, const char *name, const struct json *entry,
                        struct error *err)
{
    struct st_tensor t = {.name = name};

    if (!read_dtype(js_get(entry, "dtype"), &t, err) ||
        !read_sizes(js_get(entry, "shape"), "shape", t.shape, ST_MAX_RANK, &t.rank, err) ||
        !read_place(s, js_get(entry, "data_offsets"), &t, err))
        return err_wrap(err, "tensor \"%s\"", name);
    vec_push(&s->tensors, t);
    return true;
}

static bool check_meta(const struct json *meta, struct error *err)
{
    if (js_kind(meta) != JS_OBJECT)
        return err_set(err, ERR_DATA, "%s: expected an object, got %s", meta_key,
                       js_kind_name(js_kind(meta)));
    for (void *it = js_first(meta); it; it = js_next(meta, it))
        if (js_kind(js_value(it)) != JS_STRING)
            return err_set(err, ERR_DATA, "%s: \"%s\": expected a string, got %s", meta_key,
                           js_key(it), js_kind_name(js_kind(js_value(it))));
    return true;
}

static int by_place(const void *a, const void *b)
{
    const struct st_tensor *x = a, *y = b;
    const unsigned char *p = x->data, *q = y->data;

    if (p != q)
        return p < q ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b)
{
    const struct st_tensor *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static void sort(struct safetensors *s, int (*order)(const void *a, const void *b))
{
    if (s->tensors.n)
        qsort(s->tensors.at, s->tensors.n, sizeof(*s->tensors.at), order);
}

/* Every byte of the data belongs to exactly one tensor. Sorts the tensors by place. */
static bool check_cover(struct safetensors *s, struct error *err)
{
    size_t end = 0;

    sort(s, by_place);
    for (size_t i = 0; i < s->tensors.n; i++) {
        const struct st_tensor *t = &s->tensors.at[i];
        size_t begin = (size_t)((const unsigned char *)t->data - s->body);

        if (begin != end)
            return err_set(
                err, ERR_DATA, "tensor \"%s\" begins at byte %zu of the data, expected %zu: %s",
                t->name, begin, end, begin < end ? "tensors overlap" : "there is a hole");
        end += t->bytes;
    }
    return end == s->body_len ||
           err_set(err, ERR_DATA, "the tensors take %zu bytes, but the file has %zu", end,
                   s->body_len);
}

static bool read_entries(struct safetensors *s, struct error *err)
{
    if (js_kind(s->header) != JS_OBJECT)
        return err_set(err, ERR_DATA, "header: expected an object, got %s",
                       js_kind_name(js_kind(s->header)));
    for (void *it = js_first(s->header); it; it = js_next(s->header, it)) {
        bool meta = strcmp(js_key(it), meta_key) == 0;

        if (meta ? !check_meta(js_value(it), err) : !read_tensor(s, js_key(it), js_value(it), err))
            return false;
    }
    if (!check_cover(s, err))
        return false;
    sort(s, by_name);
    return true;
}

static bool read_file(struct safetensors *s, const unsigned char *data, size_t len,
                      struct error *err)
{
    uint64_t header;

    if (len < sizeof(header))
        return err_set(err, ERR_DATA, "%zu bytes are too few for a safetensors file", len);
    memcpy(&header, data, sizeof(header));
    if (header > len - sizeof(header) || header > max_header)
        return err_set(err, ERR_DATA,
                       "a header of %" PRIu64
                       " bytes in a file of %zu (at most %zu): truncated, or "
                       "not a safetensors file",
                       header, len, max_header);
    s->header = js_parse((const char *)data + sizeof(header), (size_t)header, err);
    if (!s->header) {
        if (err)
            err->code = ERR_DATA;
        return err_wrap(err, "header");
    }
    s->body = data + sizeof(header) + header;
    s->body_len = len - sizeof(header) - (size_t)header;
    return read_entries(s, err);
}

struct safetensors *st_open_memory(const void *data, size_t len, const char *name,
                                   struct error *err)
{
    struct safetensors *s = NEW(struct safetensors);

    s->path = str_dup(name);
    if (read_file(s, data, len, err))
        return s;
    err_wrap(err, "%s", name);
    st_close(s);
    return NULL;
}

struct safetensors *st_open(const char *path, struct error *err)
{
    struct file_map file;
    struct safetensors *s;

    if (!file_map(&file, path, err)) {
        if (err && err->code == ERR_NOT_FOUND)
            err->code = ERR_DATA;
        return NULL;
    }
    s = st_open_memory(file.data, file.len, path, err);
    if (s)
        s->file = file;
    else
        file_unmap(&file);
    return s;
}

void st_close(struct safetensors *s)
{
    if (!s)
        return;
    vec_free(&s->tensors);
    js_free(s->header);
    file_unmap(&s->file);
    free(s->path);
    free(s);
}

const char *st_path(const struct safetensors *s)
{
    return s->path;
}

size_t st_tensors(const struct safetensors *s)
{
    return s->tensors.n;
}

const struct st_tensor *st_at(const struct safetensors *s, size_t i)
{
    return &s->tensors.at[i];
}

const struct st_tensor *st_find(const struct safetensors *s, const char *name)
{
    struct st_tensor key = {.name = name};

    return bsearch(&key, s->tensors.at, s->tensors.n, sizeof(key), by_name);
}

const char *st_meta(const struct safetensors *s, const char *key)
{
    return js_string(js_get(js_get(s->header, meta_key), key), NULL);
}
