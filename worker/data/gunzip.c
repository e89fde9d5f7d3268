#include "worker/data/gunzip.h"

#include <limits.h>
#include <zlib.h>

enum {
    GZIP_ONLY = 16 + MAX_WBITS,
    BLOCK = 64 << 10
};

/* Unpacks to the end of the stream, a block at a time, so that no more than the limit is ever held. */
static bool inflate_all(z_stream *z, size_t len, const char *name, struct buf *out,
                        struct error *err)
{
    uint8_t block[BLOCK];
    int rc = Z_OK;

    while (rc != Z_STREAM_END) {
        z->next_out = block;
        z->avail_out = sizeof(block);
        rc = inflate(z, Z_NO_FLUSH);
        if (rc == Z_BUF_ERROR || (rc == Z_OK && !z->avail_in && z->avail_out))
            return err_set(err, ERR_DATA, "%s: cut off: its gzip stream goes on after byte %zu",
                           name, len);
        if (rc != Z_OK && rc != Z_STREAM_END)
            return err_set(err, ERR_DATA, "%s: damaged at byte %lu: %s", name, z->total_in,
                           z->msg ? z->msg : "not a gzip stream");
        if (!buf_add(out, block, sizeof(block) - z->avail_out))
            return err_set(err, ERR_TOO_LARGE, "%s unpacks to more than the limit of %zu bytes",
                           name, out->max);
    }
    return !z->avail_in || err_set(err, ERR_DATA, "%s: expected its end at byte %lu, got %zu bytes",
                                   name, z->total_in, len);
}

bool gunzip(const uint8_t *data, size_t len, const char *name, struct buf *out, struct error *err)
{
    z_stream z = {.next_in = (uint8_t *)(uintptr_t)data, .avail_in = (uInt)len};
    bool ok;

    if (len > UINT_MAX)
        return err_set(err, ERR_TOO_LARGE, "%s is larger than 4 GiB", name);
    if (inflateInit2(&z, GZIP_ONLY) != Z_OK)
        return err_set(err, ERR_FAILED, "%s: zlib cannot start", name);
    ok = inflate_all(&z, len, name, out, err);
    inflateEnd(&z);
    return ok;
}
