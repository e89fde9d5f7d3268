/* Winograd's F(4x4, 3x3): a tile of 4 x 4 outputs of a 3 x 3 convolution with 36 products instead of 144
 * (Lavin and Gray, arXiv 1509.09308). With d the 6 x 6 inputs under the tile and g the weights,
 *
 *     y = A' [(G g G') * (B' d B)] A        summed over input channels before A' and A.
 *
 * Its transpose gives the gradient of the weights: dg = G' [(A dy A') * (B' d B)] G, summed over tiles.
 *
 * The transforms enlarge rounding errors, in float to some 1e-6 of the result. In double nothing of that is
 * left when the result is rounded to float, and it is still faster than the plain sum in float. */
#ifndef WORKER_ENGINE_BACKEND_CPU_WINOGRAD_KERNELS_H
#define WORKER_ENGINE_BACKEND_CPU_WINOGRAD_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/engine/backend/cpu/simd.h"

enum {
    WINOGRAD_OUT = 4,         /* outputs of a tile, in height and width */
    WINOGRAD_IN = 6,          /* inputs under it */
    WINOGRAD_PRODUCTS = 6 * 6 /* of the transformed tile: its frequencies */
};

/* What is added to a convolution on its way out. */
struct winograd_end {
    const float *bias;     /* of a block; NULL: none */
    const float *residual; /* as y; NULL: none; may be y itself */
    bool relu;
};

/* All for one block of channels. Transformed values are of type real (float or double): frequency f of a
 * tile or of a weight lies f * step reals further. */
struct winograd_math {
    size_t real; /* bytes */
    int tiles;   /* that multiply() takes at once: their number is a multiple of it */
    /* B' d B. Rows of a tile of the image are `row` floats apart. */
    void (*input)(const float *x, int64_t row, void *v, int64_t step);
    /* G g G' for the weights [3][3][block][block] of a block of inputs. flip: g turned by half a turn. */
    void (*weights)(const float *w, bool flip, void *u, int64_t step);
    /* m[tile][block] = sum over inputs of v[tile][inputs] u[inputs][block], of one frequency; m's tiles are
     * `outputs` reals apart. */
    void (*multiply)(const void *v, const void *u, void *m, int64_t inputs, int64_t outputs,
                     int64_t tiles);
    /* y = A' m A, of which `height` x `width` pixels exist. */
    void (*output)(const void *m, int64_t step, float *y, int64_t row, int64_t height,
                   int64_t width, const struct winograd_end *end);
    /* A dy A'. */
    void (*spread)(const float *dy, int64_t row, void *d, int64_t step);
    /* du[inputs][block] += sum over tiles of v[tile][inputs] d[tile][block], of one frequency; d's tiles
     * are `outputs` reals apart. first: du was nothing yet. */
    void (*accumulate)(const void *v, const void *d, void *du, int64_t inputs, int64_t outputs,
                       int64_t tiles, bool first);
    /* dw[3][3][block][block] = G' du G. */
    void (*weight_grad)(const void *du, int64_t step, float *dw);
};

/* For blocks of 8 or 16 channels, in float or in double; NULL without such instructions. */
const struct winograd_math *winograd_math(enum simd simd, bool in_double);

#endif
