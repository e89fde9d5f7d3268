#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "worker/ckpt/st_tensor.h"

/* The map of strings under "__metadata__". */
static void add_meta(struct buf *b, const struct st_meta *meta, size_t n)
{
    struct json *map = js_new_object();

    for (size_t i = 0; i < n; i++)
        js_set(map, meta[i].key, js_new_string(meta[i].value));
    ASSERT(js_len(map) == n);
    buf_str(b, "\"__metadata__\":");
    js_write(map, JS_SORTED, b);
    js_free(map);
}

static void add_entry(struct buf *b, const struct st_tensor *t, size_t begin)
{
    js_write_string(t->name, b);
    buf_fmt(b, ":{\"dtype\":\"%s\",\"shape\":[", st_dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++)
        buf_fmt(b, "%s%" PRId64, i ? "," : "", t->shape[i]);
    buf_fmt(b, "],\"data_offsets\":[%zu,%zu]}", begin, begin + t->bytes);
}

/* The length and the JSON, padded so that the tensors begin at a multiple of 8. */
static struct buf make_header(const struct st_tensor *const *sorted, size_t n,
                              const struct st_meta *meta, size_t n_meta)
{
    struct buf b = buf_new(0);
    size_t begin = 0;
    uint64_t len = 0;

    buf_add(&b, &len, sizeof(len));
    buf_str(&b, "{");
    if (n_meta)
        add_meta(&b, meta, n_meta);
    for (size_t i = 0; i < n; i++) {
        ASSERT(sorted[i]->bytes == (size_t)st_count(sorted[i]) * st_dtype_size(sorted[i]->dtype));
        ASSERT(i == 0 || strcmp(sorted[i - 1]->name, sorted[i]->name) < 0);
        buf_str(&b, i || n_meta ? "," : "");
        add_entry(&b, sorted[i], begin);
        begin += sorted[i]->bytes;
    }
    buf_str(&b, "}");
    while (b.len % 8)
        buf_str(&b, " ");
    len = b.len - sizeof(len);
    memcpy(b.data, &len, sizeof(len));
    return b;
}

static bool add(struct file_writer *w, struct sha256 *sum, const void *data, size_t len,
                struct error *err)
{
    sha256_add(sum, data, len);
    return file_writer_add(w, data, len, err);
}

struct buf st_header(const struct st_tensor *tensors, size_t n, const struct st_meta *meta,
                     size_t n_meta)
{
    const struct st_tensor **sorted = st_sorted(tensors, n);
    struct buf header = make_header(sorted, n, meta, n_meta);

    free(sorted);
    return header;
}

bool st_write(const char *path, const struct st_tensor *tensors, size_t n_tensors,
              const struct st_meta *meta, size_t n_meta, char hex[SHA256_HEX], struct error *err)
{
    const struct st_tensor **sorted;
    struct sha256 *sum;
    struct buf header;
    struct file_writer w;
    char unused[SHA256_HEX];
    bool ok;

    if (!file_writer_open(&w, path, 0644, err))
        return false;
    sorted = st_sorted(tensors, n_tensors);
    sum = sha256_new();
    header = make_header(sorted, n_tensors, meta, n_meta);
    ok = add(&w, sum, header.data, header.len, err);
    for (size_t i = 0; ok && i < n_tensors; i++)
        ok = add(&w, sum, sorted[i]->data, sorted[i]->bytes, err);
    ok = ok && file_writer_commit(&w, err);
    file_writer_abandon(&w);
    sha256_end(sum, hex ? hex : unused);
    buf_free(&header);
    free(sorted);
    return ok;
}
