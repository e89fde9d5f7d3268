#include "worker/data/decode.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/data/format.h"

static const struct image_format formats[] = {
    {"\xff\xd8\xff", 3, jpeg_size, jpeg_decode},
    {"\x89PNG\r\n\x1a\n", 8, png_size, png_decode},
};

static const struct image_format *format_of(const uint8_t *data, size_t len, struct error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (len >= formats[i].magic_bytes &&
            memcmp(data, formats[i].magic, formats[i].magic_bytes) == 0)
            return &formats[i];
    if (!len)
        err_set(err, ERR_DATA, "expected a JPEG or PNG, got an empty file");
    else
        err_set(err, ERR_DATA,
                "byte 0: expected ff d8 ff (JPEG) or 89 50 4e 47 (PNG), got %02x %02x %02x %02x",
                data[0], len > 1 ? data[1] : 0, len > 2 ? data[2] : 0, len > 3 ? data[3] : 0);
    return NULL;
}

void picture_free(struct picture *p)
{
    free(p->rgb);
    *p = (struct picture){0};
}

bool picture_shape(struct picture *p, int64_t width, int64_t height, size_t channels,
                   struct error *err)
{
    const int64_t limit = p->limit ? (int64_t)p->limit : DECODE_MAX_PIXELS;
    size_t bytes;

    if (width < 1 || height < 1 || width > DECODE_MAX_SIDE || height > DECODE_MAX_SIDE ||
        width * height > limit)
        return err_set(err, ERR_DATA,
                       "expected 1 to %d pixels per side and at most %" PRId64
                       " of them, got %" PRId64 " x %" PRId64,
                       DECODE_MAX_SIDE, limit, width, height);
    p->width = (int)width;
    p->height = (int)height;
    bytes = (size_t)width * (size_t)height * channels;
    if (bytes <= p->room)
        return true;
    free(p->rgb);
    p->rgb = mem_try_aligned(64, bytes);
    p->room = p->rgb ? bytes : 0;
    return p->rgb || err_set(err, ERR_TOO_LARGE, "no memory for %" PRId64 " x %" PRId64 " pixels",
                             width, height);
}

bool decode(const uint8_t *data, size_t len, struct picture *out, struct error *err)
{
    const struct image_format *f = format_of(data, len, err);

    return f && f->decode(data, len, out, err);
}

bool decode_size(const uint8_t *data, size_t len, int *width, int *height, struct error *err)
{
    const struct image_format *f = format_of(data, len, err);

    return f && f->size(data, len, width, height, err);
}
