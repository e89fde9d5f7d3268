/* The forward convolution of training, with products summed in double. A float sum of some hundred
 * products is off by several of its last bits. That is harmless by itself, but among millions of values
 * before a ReLU a few lie that close to zero; each that falls on the other side changes a gradient by a
 * step, and training leaves the exact course. Rounded once, at the end, a sixth of them do. */
#ifndef WORKER_ENGINE_BACKEND_CPU_CONV_KERNELS_H
#define WORKER_ENGINE_BACKEND_CPU_CONV_KERNELS_H

#include <stdint.h>

#include "worker/engine/backend/cpu/simd.h"

/* One sample. The input is widened and has its border of zeros; strides are in elements of it. Weights
 * are [out block][in block][height][width][depth][block], the output is blocked. */
struct conv_sample {
    int64_t in_blocks, depth; /* channels of an input block */
    int64_t out_blocks, out_height, out_width;
    int64_t kernel[2];
    int64_t block_step, row_step; /* from one block, one row of the input to the next */
    int64_t out_row_step,
        out_col_step; /* in the input, from one output row, one pixel to the next */
};

typedef void (*conv_fn)(const struct conv_sample *s, const double *x, const float *w, float *y);

/* For blocks of 8 or 16 channels; NULL without such instructions. */
conv_fn conv_kernel(enum simd simd);
void conv_widen(const float *x, int64_t n, double *out);
/* Pixels computed at once: the kernel reads a row as if its width were a multiple of this. */
int64_t conv_tile(int block);

#endif
