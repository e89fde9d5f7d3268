#include "tests/unit/image_rig.h"

#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"

struct buf image_rig_file(const char *name)
{
    const char *srcdir = getenv("srcdir");
    char *path = str_fmt("%s/tests/images/%s", srcdir ? srcdir : ".", name);
    struct buf b = buf_new(1 << 20);
    struct error err = {0};

    if (!file_read(path, &b, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    free(path);
    return b;
}

struct image_rgb image_rig_ppm(const char *name)
{
    struct buf b = image_rig_file(name);
    struct image_rgb p = {0};
    int header = 0;
    size_t bytes;

    ASSERT(sscanf(buf_text(&b), "P6 %d %d 255%n", &p.width, &p.height, &header) == 2 && header);
    bytes = 3 * (size_t)p.width * (size_t)p.height;
    ASSERT(b.len == (size_t)header + 1 + bytes);
    p.rgb = NEW_ARRAY(uint8_t, bytes);
    memcpy(p.rgb, b.data + header + 1, bytes);
    buf_free(&b);
    return p;
}

struct image_rgb image_rig_make(int label, int width, int height, uint64_t key)
{
    struct image_rgb p = {width, height, NEW_ARRAY(uint8_t, 3 * (size_t)width * (size_t)height)};
    uint64_t at = 0;

    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) {
                double wave = sin((x * (label + 1) + y * (c + 1)) / 7.0);

                p.rgb[3 * (y * width + x) + c] =
                    (uint8_t)(128 + 90 * wave + 30 * rng_uniform(key, at++));
            }
    return p;
}

static struct buf encode_jpeg(const struct image_rgb *image, int kind)
{
    size_t n = (size_t)image->width * (size_t)image->height;
    uint8_t *inks = NEW_ARRAY(uint8_t, 4 * n), *out = NULL;
    unsigned long len = 0;
    struct buf b = buf_new(0);
    tjhandle h = tjInitCompress();

    for (size_t i = 0; i < n; i++) {
        memcpy(inks + 4 * i, image->rgb + 3 * i, 3);
        inks[4 * i + 3] = 255;
    }
    ASSERT(tjCompress2(h, kind == 3 ? inks : image->rgb, image->width, 0, image->height,
                       kind == 3 ? TJPF_CMYK : TJPF_RGB, &out, &len,
                       kind == 2   ? TJSAMP_GRAY
                       : kind == 3 ? TJSAMP_444
                                   : TJSAMP_420,
                       90, kind == 1 ? TJFLAG_PROGRESSIVE : 0) == 0);
    buf_add(&b, out, len);
    tjFree(out);
    tjDestroy(h);
    free(inks);
    return b;
}

static void on_write(png_structp png, png_bytep data, size_t n)
{
    buf_add(png_get_io_ptr(png), data, n);
}

static void on_flush(png_structp png)
{
    (void)png;
}

static struct buf encode_png(const struct image_rgb *image, bool interlaced)
{
    struct buf b = buf_new(0);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_bytep *rows = NEW_ARRAY(png_bytep, (size_t)image->height);

    for (int y = 0; y < image->height; y++)
        rows[y] = image->rgb + 3 * (size_t)y * (size_t)image->width;
    png_set_write_fn(png, &b, on_write, on_flush);
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 PNG_COLOR_TYPE_RGB, interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    png_write_image(png, rows);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(rows);
    return b;
}

struct buf image_rig_encode(const struct image_rgb *image, int kind)
{
    return kind < 4 ? encode_jpeg(image, kind) : encode_png(image, kind == 5);
}

const char *image_rig_ending(int kind)
{
    static const char *const ends[IMAGE_RIG_KINDS] = {"jpg", "JPEG", "jpeg", "jpg", "png", "PNG"};

    return ends[kind];
}

static void make_file(const char *folder, int label, int i, uint64_t key)
{
    int kind = i % IMAGE_RIG_KINDS;
    struct image_rgb image = image_rig_make(label, 24 + (int)rng_below(key, 0, 65),
                                            24 + (int)rng_below(key, 1, 65), rng_key(key, 2));
    struct buf b = image_rig_encode(&image, kind);
    char *path = str_fmt("%s/%03d.%s", folder, i, image_rig_ending(kind));
    struct error err = {0};

    if (!file_replace(path, b.data, b.len, 0644, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    free(path);
    buf_free(&b);
    free(image.rgb);
}

static void make_split(const char *dir, const char *split, int classes, int n, uint64_t key)
{
    for (int c = 0; c < classes; c++) {
        char *folder = str_fmt("%s/%s/class-%c", dir, split, 'a' + c);

        ASSERT(file_make_dirs(folder, 0755, NULL));
        for (int i = 0; i < n; i++)
            make_file(folder, c, i, rng_key(rng_key(key, (uint64_t)c), (uint64_t)i));
        free(folder);
    }
}

void image_rig_folders(const char *dir, int classes, int train, int val, uint64_t key)
{
    make_split(dir, "train", classes, train, rng_key(key, 0));
    make_split(dir, "val", classes, val, rng_key(key, 1));
}
