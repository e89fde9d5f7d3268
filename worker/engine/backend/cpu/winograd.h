/* What the passes of a Winograd convolution share: the work, cut into tiles, and what lies in scratch. */
#ifndef WORKER_ENGINE_BACKEND_CPU_WINOGRAD_H
#define WORKER_ENGINE_BACKEND_CPU_WINOGRAD_H

#include "worker/engine/backend/cpu/conv.h"
#include "worker/engine/backend/cpu/winograd_kernels.h"

/* A blocked image. */
struct winograd_image {
    int64_t blocks, height, width;
    int arg; /* of the kernel */
};

/* Values of all frequencies: frequency f lies f * step reals further. */
struct winograd_values {
    size_t offset; /* bytes from the start of scratch */
    int64_t step;
};

/* Tiles are counted through all samples and worked on in chunks, so small that what stands between the
 * transforms lies in the cache. Each tile is computed alike wherever it lies: neither chunks nor threads
 * show in the result. */
struct winograd {
    struct kernel base;
    const struct winograd_math *math;
    int block, threads, scratch; /* scratch: its number in args */
    struct winograd_image in, out;
    int64_t samples, rows, columns; /* of tiles in a sample's output */
    int64_t top, left;              /* padding */
    int64_t tiles, chunk;
    int weights;                    /* in args */
    struct winograd_values u, v, d; /* of weights; of a chunk's inputs, outputs */
    size_t copy;                    /* bytes from a thread's v and d to the next one's */
};

/* Everything but the arguments' numbers. `in` and `out` are blocked images of one batch. */
struct winograd winograd_of(const struct cpu *c, const struct shape *in, const struct shape *out,
                            const dnnl_dims_t pads, bool in_double);
/* Puts u, and v and d for each of `copies` threads, into scratch. */
void winograd_lay_out(struct winograd *k, int copies);

/* Tiles in a row or column of so many pixels. */
int64_t winograd_tiles(int64_t pixels);
/* With those that fill the last block. */
int64_t winograd_channels(const struct winograd *k, const struct winograd_image *p);
/* Bytes from u to frequency f of the weights from a block of inputs to a block of outputs. */
size_t winograd_weights(const struct winograd *k, int64_t out_block, int64_t in_block, int64_t f);
/* B' d B of all blocks of the t-th tile, into v. */
void winograd_read_input(const struct winograd *k, const float *x, int64_t t, char *v);
/* A dy A', likewise. */
void winograd_read_output(const struct winograd *k, const float *dy, int64_t t, char *d);
/* The first output pixel of a tile. */
struct winograd_tile {
    int64_t sample, i, j;
};
struct winograd_tile winograd_tile(const struct winograd *k, int64_t t);
/* Floats to a block of a sample. */
int64_t winograd_block(const struct winograd *k, const struct winograd_image *p, int64_t sample,
                       int64_t b);

#endif
