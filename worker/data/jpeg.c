/* JPEG by TurboJPEG, with the accurate integer transform: the same bytes on every processor. */
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "proto/base/mem.h"
#include "worker/data/format.h"

enum {
    FLAGS = TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS /* thousands of scans are an attack */
};

static bool opened(struct decoder *d, struct error *err)
{
    if (!d->jpeg)
        d->jpeg = tjInitDecompress();
    return d->jpeg || err_set(err, ERR_TOO_LARGE, "TurboJPEG cannot start: %s", tjGetErrorStr());
}

void jpeg_close(struct decoder *d)
{
    if (d->jpeg)
        tjDestroy(d->jpeg);
    if (d->jpeg_writer)
        tjDestroy(d->jpeg_writer);
}

/* The header, also of one whose subsampling has no name: it can be decoded all the same. */
static bool header(struct decoder *d, const uint8_t *data, size_t len, int *width, int *height,
                   int *colours, struct error *err)
{
    int sampling;

    *width = *height = 0;
    *colours = -1;
    if (!opened(d, err))
        return false;
    if (tjDecompressHeader3(d->jpeg, data, len, width, height, &sampling, colours) == 0 ||
        (*width > 0 && *height > 0 && *colours >= 0))
        return true;
    return err_set(err, ERR_DATA, "not a usable JPEG header: %s", tjGetErrorStr2(d->jpeg));
}

bool jpeg_size(struct decoder *d, const uint8_t *data, size_t len, int *width, int *height,
               struct error *err)
{
    int colours;

    return header(d, data, len, width, height, &colours, err);
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
static bool lost_pixels(struct decoder *d, const uint8_t *data, size_t len)
{
    return tjGetErrorCode(d->jpeg) != TJERR_WARNING ||
           !strstr(tjGetErrorStr2(d->jpeg), "extraneous bytes before marker") ||
           !has_end(data, len);
}

bool jpeg_decode(struct decoder *d, const uint8_t *data, size_t len, struct picture *out,
                 struct error *err)
{
    int width, height, colours;
    bool inks;

    if (!header(d, data, len, &width, &height, &colours, err))
        return false;
    inks = colours == TJCS_CMYK || colours == TJCS_YCCK;
    if (!picture_shape(out, width, height, inks ? 4 : 3, err))
        return false;
    if (tjDecompress2(d->jpeg, data, len, out->rgb, width, 0, height, inks ? TJPF_CMYK : TJPF_RGB,
                      FLAGS) != 0 &&
        lost_pixels(d, data, len))
        return err_set(err, ERR_DATA, "damaged or cut off JPEG of %zu bytes: %s", len,
                       tjGetErrorStr2(d->jpeg));
    if (inks)
        cmyk_to_rgb(out->rgb, (size_t)width * (size_t)height);
    return true;
}

uint8_t *jpeg_encode(struct decoder *d, const uint8_t *rgb, int width, int height, int quality,
                     size_t *len, struct error *err)
{
    const unsigned long most = tjBufSize(width, height, TJSAMP_444);
    uint8_t *out = mem_try_aligned(64, most);
    unsigned long used = most;

    if (!d->jpeg_writer)
        d->jpeg_writer = tjInitCompress();
    if (out && d->jpeg_writer &&
        tjCompress2(d->jpeg_writer, rgb, width, 0, height, TJPF_RGB, &out, &used, TJSAMP_444,
                    quality, TJFLAG_NOREALLOC | TJFLAG_ACCURATEDCT) == 0) {
        *len = used;
        return out;
    }
    err_set(err, ERR_TOO_LARGE, "a JPEG of %d x %d pixels: %s", width, height,
            out ? tjGetErrorStr() : "no memory");
    free(out);
    return NULL;
}
