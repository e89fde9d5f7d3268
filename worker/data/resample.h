/* Resizing of 8-bit images by a triangle filter that widens with the reduction, as Pillow's BILINEAR does:
 * first along rows, then along columns, each time rounded to 8 bits, with weights of 22 binary places. Only
 * integers once the weights are made: the same bytes on every machine. */
#ifndef WORKER_DATA_RESAMPLE_H
#define WORKER_DATA_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

/* Pixels of three channels that lie anywhere: base[y * row + x * step + c * plane]. */
struct pixels {
    const uint8_t *base;
    ptrdiff_t row, step, plane;
    int width, height;
};

/* The whole of the pixels becomes width x height, of which cols x rows from (left, top) are made. */
struct cutout {
    int width, height;
    int left, top, cols, rows;
};

/* Buffers of one thread. */
struct resampler;
struct resampler *resampler_new(void);
void resampler_free(struct resampler *r); /* NULL is fine */

/* out: 3 x rows x cols, channel by channel. */
void resample(struct resampler *r, const struct pixels *in, const struct cutout *w, uint8_t *out);

#endif
