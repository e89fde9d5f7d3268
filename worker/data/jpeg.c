/* JPEG by TurboJPEG, with the accurate integer transform: the same bytes on every processor. Each image has
 * a handle of its own, because one that was used keeps the size of the image before. */
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "proto/base/mem.h"
#include "worker/data/format.h"

enum {
    FLAGS = TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS /* thousands of scans are an attack */
};

static tjhandle open_reader(struct error *err)
{
    tjhandle h = tjInitDecompress();

    if (!h)
        err_set(err, ERR_TOO_LARGE, "TurboJPEG cannot start: %s", tjGetErrorStr());
    return h;
}

/* The header, also of one whose subsampling has no name: it can be decoded all the same. */
static bool header(tjhandle h, const uint8_t *data, size_t len, int *width, int *height,
                   int *colours, struct error *err)
{
    int sampling;

    *width = *height = 0;
    *colours = -1;
    tjDecompressHeader3(h, data, len, width, height, &sampling, colours);
    return (*width > 0 && *height > 0 && *colours >= 0) ||
           err_set(err, ERR_DATA, "not the header of a JPEG that can be read: %s",
                   tjGetErrorStr2(h));
}

bool jpeg_size(const uint8_t *data, size_t len, int *width, int *height, struct error *err)
{
    tjhandle h = open_reader(err);
    int colours;
    bool ok = h && header(h, data, len, width, height, &colours, err);

    if (h)
        tjDestroy(h);
    return ok;
}

/* Inks to light, in place: what is stored is 255 minus the ink. */
static void cmyk_to_rgb(uint8_t *pixels, size_t n)
{
    const uint8_t *in = pixels;

    for (size_t i = 0; i < n; i++, in += 4, pixels += 3) {
        unsigned k = in[3];

        for (int c = 0; c < 3; c++)
            pixels[c] = (uint8_t)((in[c] * k + 127) / 255);
    }
}

static bool has_end(const uint8_t *data, size_t len)
{
    while (len >= 2 && !(data[len - 2] == 0xff && data[len - 1] == 0xd9))
        len--;
    return len >= 2;
}

/* The decoder goes on after damage and tells of the first. Stray bytes between two segments cost no pixel,
 * and cameras leave them. */
static bool lost_pixels(tjhandle h, const uint8_t *data, size_t len)
{
    return tjGetErrorCode(h) != TJERR_WARNING ||
           !strstr(tjGetErrorStr2(h), "extraneous bytes before marker") || !has_end(data, len);
}

static bool read_pixels(tjhandle h, const uint8_t *data, size_t len, struct picture *out,
                        struct error *err)
{
    int width, height, colours, rc;
    bool inks;

    if (!header(h, data, len, &width, &height, &colours, err))
        return false;
    inks = colours == TJCS_CMYK || colours == TJCS_YCCK;
    if (!picture_shape(out, width, height, inks ? 4 : 3, err))
        return false;
    rc =
        tjDecompress2(h, data, len, out->rgb, width, 0, height, inks ? TJPF_CMYK : TJPF_RGB, FLAGS);
    if (rc != 0 && lost_pixels(h, data, len))
        return err_set(err, ERR_DATA, "damaged or cut off JPEG of %zu bytes: %s", len,
                       tjGetErrorStr2(h));
    if (inks)
        cmyk_to_rgb(out->rgb, (size_t)width * (size_t)height);
    return true;
}

bool jpeg_decode(const uint8_t *data, size_t len, struct picture *out, struct error *err)
{
    tjhandle h = open_reader(err);
    bool ok = h && read_pixels(h, data, len, out, err);

    if (h)
        tjDestroy(h);
    return ok;
}

uint8_t *jpeg_encode(const uint8_t *rgb, int width, int height, int quality, size_t *len,
                     struct error *err)
{
    const unsigned long most = tjBufSize(width, height, TJSAMP_444);
    uint8_t *out = mem_try_aligned(64, most);
    unsigned long used = most;
    tjhandle h = tjInitCompress();
    bool ok = out && h &&
              tjCompress2(h, rgb, width, 0, height, TJPF_RGB, &out, &used, TJSAMP_444, quality,
                          TJFLAG_NOREALLOC | TJFLAG_ACCURATEDCT) == 0;

    if (!ok)
        err_set(err, ERR_TOO_LARGE, "a JPEG of %d x %d pixels: %s", width, height,
                out ? tjGetErrorStr() : "no memory");
    if (h)
        tjDestroy(h);
    *len = used;
    if (ok)
        return out;
    free(out);
    return NULL;
}
