/* The forward convolution that sums in double, where it is a single pixel wide: then there is neither border nor
 * row, and the pixels of a sample, or of several if it has few, are widened as one row. The kernel takes
 * several neighbours of a row at once, and in rows of two or four pixels most of them would not exist. Each
 * result is the same sum, in the same order, whatever row it stands in. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/conv.h"
#include "worker/engine/backend/cpu/conv_kernels.h"

enum {
    ROW_PIXELS = 64 /* at least, if there are so many samples */
};

struct pixels_kernel {
    struct kernel base;
    conv_fn fn;
    struct conv_sample row;
    int64_t samples, group;           /* all, and those of a row */
    int64_t height, width, stride[2]; /* of the input */
    int64_t plane;                    /* pixels of an output */
    int64_t x_step, y_step;           /* floats of a sample */
    size_t widened, made; /* bytes of a row: its input, and its results if it has several samples */
    int threads;
};

bool conv_pixels_serves(const struct conv_case *k)
{
    return k->w.dim[2] == 1 && k->w.dim[3] == 1 && k->x_layout == CPU_BLOCKED &&
           !k->pads_before[0] && !k->pads_before[1];
}

/* The pixels of one block of channels that are read. */
static void widen_plane(const struct pixels_kernel *k, const float *x, double *out)
{
    int64_t depth = k->row.depth;

    if (k->stride[0] == 1 && k->stride[1] == 1) {
        conv_widen(x, k->plane * depth, out);
        return;
    }
    for (int64_t i = 0; i < k->height; i += k->stride[0])
        for (int64_t j = 0; j < k->width; j += k->stride[1], out += depth)
            conv_widen(x + (i * k->width + j) * depth, depth, out);
}

static void widen_row(const struct pixels_kernel *k, const float *x, int64_t count, double *out)
{
    int64_t block = k->height * k->width * k->row.depth, used = count * k->plane * k->row.depth;

    for (int64_t n = 0; n < count; n++, x += k->x_step)
        for (int64_t b = 0; b < k->row.in_blocks; b++)
            widen_plane(k, x + b * block,
                        out + b * k->row.block_step + n * k->plane * k->row.depth);
    /* The kernel reads neighbours that do not exist, and computes what nobody sees. */
    for (int64_t b = 0; b < k->row.in_blocks; b++)
        memset(out + b * k->row.block_step + used, 0,
               (size_t)(k->row.block_step - used) * sizeof(*out));
}

/* From rows of blocks to samples. */
static void deal(const struct pixels_kernel *k, const float *made, int64_t count, float *y)
{
    int64_t block = k->plane * k->row.depth;

    for (int64_t o = 0; o < k->row.out_blocks; o++)
        for (int64_t n = 0; n < count; n++, made += block)
            memcpy(y + n * k->y_step + o * block, made, (size_t)block * sizeof(*y));
}

static void run_row(const struct pixels_kernel *k, void *const *args, int64_t first, char *own)
{
    int64_t count = k->samples - first < k->group ? k->samples - first : k->group;
    double *widened = (void *)own;
    float *made = (void *)(own + k->widened), *y = (float *)args[2] + first * k->y_step;
    struct conv_sample row = k->row;

    row.out_width = count * k->plane;
    widen_row(k, (const float *)args[0] + first * k->x_step, count, widened);
    k->fn(&row, widened, args[1], count > 1 ? made : y);
    if (count > 1)
        deal(k, made, count, y);
}

static void run_pixels(struct kernel *base, void *const *args)
{
    const struct pixels_kernel *k = (const struct pixels_kernel *)base;
    char *scratch = args[3];

#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t first = 0; first < k->samples; first += k->group)
        run_row(k, args, first, scratch + (size_t)omp_get_thread_num() * (k->widened + k->made));
}

static void free_pixels(struct kernel *k)
{
    free(k);
}

static size_t lines(int64_t n, size_t size)
{
    return ((size_t)n * size + 63) / 64 * 64;
}

static int64_t samples_of_a_row(int64_t plane, int64_t samples)
{
    int64_t n = (ROW_PIXELS + plane - 1) / plane;

    return n < samples ? n : samples;
}

/* As many pixels as the kernel reads: whole tiles. */
static int64_t whole_tiles(int64_t pixels, int block)
{
    return (pixels + conv_tile(block) - 1) / conv_tile(block) * conv_tile(block);
}

struct kernel *conv_pixels_kernel(const struct cpu *c, const struct conv_case *conv)
{
    const struct shape *x = &conv->x, *y = &conv->y;
    struct pixels_kernel *k = NEW(struct pixels_kernel);
    struct conv_sample *row = &k->row;

    k->base =
        (struct kernel){.run = run_pixels, .free = free_pixels, .impl = "direct, sums in double"};
    k->fn = conv_kernel(c->simd);
    k->samples = x->dim[0];
    k->height = x->dim[2];
    k->width = x->dim[3];
    k->stride[0] = conv->strides[0];
    k->stride[1] = conv->strides[1];
    k->plane = y->dim[2] * y->dim[3];
    k->group = samples_of_a_row(k->plane, k->samples);
    k->threads = c->base.threads;
    *row = (struct conv_sample){.in_blocks = cpu_blocks(c, x->dim[1]),
                                .depth = c->block,
                                .out_blocks = cpu_blocks(c, y->dim[1]),
                                .out_height = 1,
                                .out_width = k->group * k->plane,
                                .kernel = {1, 1},
                                .out_col_step = c->block};
    row->block_step = whole_tiles(row->out_width, c->block) * c->block;
    k->x_step = row->in_blocks * c->block * k->height * k->width;
    k->y_step = row->out_blocks * c->block * k->plane;
    k->widened = lines(row->in_blocks * row->block_step, sizeof(double));
    k->made = k->group > 1 ? lines(k->group * k->y_step, sizeof(float)) : 0;
    k->base.scratch_bytes = (size_t)k->threads * (k->widened + k->made);
    return &k->base;
}
