/* PNG by libpng. Its errors come by longjmp, so all that lives across one is in a struct. */
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/data/format.h"

enum {
    HEADER = 8 + 8 + 8, /* signature, length and name of the first chunk, the two sizes */
    CHUNK_MAX = 8 << 20 /* of texts and profiles that nobody reads */
};

struct reader {
    const uint8_t *data;
    size_t len, at;
    png_structp png;
    png_infop info;
    png_bytep *rows;
    struct error *err;
};

static void on_error(png_structp png, png_const_charp why)
{
    struct reader *r = png_get_error_ptr(png);

    err_set(r->err, ERR_DATA, "damaged PNG, at byte %zu of %zu: %s", r->at, r->len, why);
    longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp why)
{
    (void)png;
    (void)why;
}

static void on_read(png_structp png, png_bytep out, size_t n)
{
    struct reader *r = png_get_io_ptr(png);

    if (n > r->len - r->at)
        png_error(png, "it is cut off");
    memcpy(out, r->data + r->at, n);
    r->at += n;
}

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

bool png_size(const uint8_t *data, size_t len, int *width, int *height, struct error *err)
{
    if (len < HEADER || memcmp(data + 12, "IHDR", 4) != 0)
        return err_set(err, ERR_DATA, "byte 8: expected the header of a PNG (IHDR), got %zu bytes",
                       len);
    if (big_endian(data + 16) > DECODE_MAX_SIDE || big_endian(data + 20) > DECODE_MAX_SIDE)
        return err_set(err, ERR_DATA, "byte 16: expected at most %d pixels per side, got %u x %u",
                       DECODE_MAX_SIDE, big_endian(data + 16), big_endian(data + 20));
    *width = (int)big_endian(data + 16);
    *height = (int)big_endian(data + 20);
    return true;
}

/* Whatever it is, 8-bit RGB comes out. */
static void ask_for_rgb(png_structp png)
{
    png_set_strip_16(png);
    png_set_palette_to_rgb(png);
    png_set_expand_gray_1_2_4_to_8(png);
    png_set_gray_to_rgb(png);
    png_set_strip_alpha(png);
    png_set_interlace_handling(png);
}

static bool read_pixels(struct reader *r, struct picture *out)
{
    size_t bytes;

    if (setjmp(png_jmpbuf(r->png)))
        return false;
    png_set_user_limits(r->png, DECODE_MAX_SIDE, DECODE_MAX_SIDE);
    png_set_chunk_malloc_max(r->png, CHUNK_MAX);
    png_set_read_fn(r->png, r, on_read);
    png_read_info(r->png, r->info);
    if (!picture_shape(out, png_get_image_width(r->png, r->info),
                       png_get_image_height(r->png, r->info), 3, r->err))
        return false;
    ask_for_rgb(r->png);
    png_read_update_info(r->png, r->info);
    bytes = png_get_rowbytes(r->png, r->info);
    ASSERT(bytes == 3 * (size_t)out->width);
    r->rows = NEW_ARRAY(png_bytep, (size_t)out->height);
    for (int y = 0; y < out->height; y++)
        r->rows[y] = out->rgb + (size_t)y * bytes;
    png_read_image(r->png, r->rows);
    png_read_end(r->png, NULL);
    return true;
}

bool png_decode(const uint8_t *data, size_t len, struct picture *out, struct error *err)
{
    struct reader r = {.data = data, .len = len, .err = err};
    bool ok;

    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    r.info = r.png ? png_create_info_struct(r.png) : NULL;
    ok = r.info ? read_pixels(&r, out) : err_set(err, ERR_TOO_LARGE, "libpng cannot start");
    free(r.rows);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    return ok;
}
