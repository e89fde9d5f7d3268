/* The gradient of weights: for each frequency the products of inputs and output gradients, summed over all
 * tiles of the batch and transformed once at the end. The sum is in parts, of a chunk each: as with conv.c's
 * PART_PIXELS, a float that collected all of them one by one would be less exact. */
#include <stdlib.h>

#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/winograd.h"

/* Threads share a chunk: first its tiles, then its frequencies. */
static void read_chunk(const struct winograd *k, void *const *args, int64_t first, int64_t count)
{
    char *scratch = args[k->scratch];
    size_t v_tile = (size_t)winograd_channels(k, &k->in) * k->math->real;
    size_t d_tile = (size_t)winograd_channels(k, &k->out) * k->math->real;

#pragma omp for schedule(static)
    for (int64_t t = 0; t < count; t++) {
        winograd_read_input(k, args[k->in.arg], first + t,
                            scratch + k->v.offset + (size_t)t * v_tile);
        winograd_read_output(k, args[k->out.arg], first + t,
                             scratch + k->d.offset + (size_t)t * d_tile);
    }
}

static void add_chunk(const struct winograd *k, char *scratch, int64_t first, int64_t count)
{
    size_t real = k->math->real;
    int64_t inputs = winograd_channels(k, &k->in), outputs = winograd_channels(k, &k->out);

#pragma omp for schedule(static)
    for (int64_t i = 0; i < WINOGRAD_PRODUCTS * k->out.blocks; i++) {
        int64_t f = i / k->out.blocks, o = i % k->out.blocks;

        k->math->accumulate(scratch + k->v.offset + (size_t)(f * k->v.step) * real,
                            scratch + k->d.offset + (size_t)(f * k->d.step + o * k->block) * real,
                            scratch + winograd_weights(k, o, 0, f), inputs, outputs, count,
                            first == 0);
    }
}

static void write_grad(const struct winograd *k, const char *du, float *dw)
{
    int64_t of_block = (int64_t)k->block * k->block;

#pragma omp for schedule(static)
    for (int64_t i = 0; i < k->out.blocks * k->in.blocks; i++) {
        int64_t o = i / k->in.blocks, b = i % k->in.blocks;

        k->math->weight_grad(du + winograd_weights(k, o, b, 0), k->u.step, dw + i * 9 * of_block);
    }
}

static void run_grad(struct kernel *base, void *const *args)
{
    const struct winograd *k = (const struct winograd *)base;

#pragma omp parallel num_threads(k->threads) if (k->threads > 1)
    {
        for (int64_t first = 0; first < k->tiles; first += k->chunk) {
            int64_t count = k->tiles - first < k->chunk ? k->tiles - first : k->chunk;

            read_chunk(k, args, first, count);
            add_chunk(k, args[k->scratch], first, count);
        }
        write_grad(k, args[k->scratch], args[k->weights]);
    }
}

static void free_grad(struct kernel *k)
{
    free(k);
}

struct kernel *conv_winograd_weight_grad(const struct cpu *c, const struct conv_case *conv)
{
    struct winograd *k = NEW(struct winograd);

    *k = winograd_of(c, &conv->x, &conv->y, conv->pads_before, false);
    winograd_lay_out(k, 1);
    k->base.run = run_grad;
    k->base.free = free_grad;
    k->base.impl = "winograd 4x4";
    k->out.arg = 1;
    k->weights = 2;
    k->scratch = 3;
    return &k->base;
}
