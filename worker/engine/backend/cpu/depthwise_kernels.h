/* Depthwise convolution of one plane: what one sample has of one block of channels, which stand side by side and
 * have nothing to do with each other. Which pixels take part, and where a tap of the kernel finds its
 * neighbour, is listed by who calls: so one kernel serves all strides, paddings and sizes, and the gradient of
 * the input. */
#ifndef WORKER_ENGINE_BACKEND_CPU_DEPTHWISE_KERNELS_H
#define WORKER_ENGINE_BACKEND_CPU_DEPTHWISE_KERNELS_H

#include <stdint.h>

#include "worker/engine/backend/cpu/simd.h"

/* All in floats. */
struct depthwise_pixel {
    int32_t from, to; /* in the plane that is read with its border, and in the other one */
};
struct depthwise_tap {
    int32_t offset, weight; /* from a pixel's `from`; among the weights, [tap][block] */
};

enum {
    DEPTHWISE_PIXELS = 8, /* in a call of apply: a multiple of it; pixels may be listed again */
    DEPTHWISE_TAPS = 9    /* in a call of gather: likewise, and so many sums */
};

struct depthwise_math {
    /* y[to] = sum over taps of w[weight] x[from + offset]. */
    void (*apply)(const struct depthwise_pixel *pixels, int64_t n_pixels,
                  const struct depthwise_tap *taps, int64_t n_taps, const float *x, const float *w,
                  float *y);
    /* sums[tap][block] += sum over pixels of dy[to] x[from + offset]. */
    void (*gather)(const struct depthwise_pixel *pixels, int64_t n_pixels,
                   const struct depthwise_tap *taps, int64_t n_taps, const float *x,
                   const float *dy, double *sums);
};

/* For blocks of 16 channels with AVX-512, else of 8: never NULL. */
const struct depthwise_math *depthwise_math(enum simd simd);

#endif
