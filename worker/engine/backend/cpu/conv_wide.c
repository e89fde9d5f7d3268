/* Sample by sample: the input is widened into a scratch of its own, with its border of zeros, and the
 * kernel runs over it. Samples are dealt to threads, which does not show in the result. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/conv.h"
#include "worker/engine/backend/cpu/conv_kernels.h"

struct wide_kernel {
    struct kernel base;
    conv_fn fn;
    struct conv_sample sample;
    int64_t samples, height, width; /* of the input */
    int64_t top, left;              /* padding */
    int64_t x_step, y_step;         /* floats of a sample */
    size_t padded;                  /* doubles of a sample */
    bool plain;                     /* the input has its channels in planes */
    int threads;
};

bool conv_wide_serves(const struct cpu *c, const struct conv_case *k, const struct node *n)
{
    return conv_kernel(c->simd) && k->attr->group == 1 && n->n_in == 2 &&
           k->y_layout == CPU_BLOCKED;
}

int conv_wide_weights(struct cpu *c, const struct conv_case *k)
{
    bool first = k->x_layout != CPU_BLOCKED;
    dnnl_format_tag_t tag = c->block == 16 ? (first ? dnnl_Ohwi16o : dnnl_OIhw16i16o)
                                           : (first ? dnnl_Ohwi8o : dnnl_OIhw8i8o);
    dnnl_dims_t dims = {k->w.dim[0], k->w.dim[1], k->w.dim[2], k->w.dim[3]};
    dnnl_memory_desc_t md;

    ASSERT(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, tag) == dnnl_success);
    return cpu_layout_of(c, &md);
}

/* One row of a block of channels. */
static void widen_row(const struct wide_kernel *k, const float *x, double *out)
{
    int64_t depth = k->sample.depth, plane = k->height * k->width;

    if (!k->plain) {
        conv_widen(x, k->width * depth, out);
        return;
    }
    for (int64_t j = 0; j < k->width; j++)
        for (int64_t c = 0; c < depth; c++)
            out[j * depth + c] = (double)x[c * plane + j];
}

/* The borders of `out` are zero already. */
static void widen(const struct wide_kernel *k, const float *x, double *out)
{
    const struct conv_sample *s = &k->sample;
    int64_t row = k->width * (k->plain ? 1 : s->depth);

    for (int64_t b = 0; b < s->in_blocks; b++)
        for (int64_t i = 0; i < k->height; i++, x += row)
            widen_row(k, x,
                      out + b * s->block_step + (i + k->top) * s->row_step + k->left * s->depth);
}

static void run_wide(struct kernel *base, void *const *args)
{
    const struct wide_kernel *k = (const struct wide_kernel *)base;
    const float *x = args[0], *w = args[1];
    float *y = args[2];
    double *scratch = args[3];

    memset(scratch, 0, base->scratch_bytes);
#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t n = 0; n < k->samples; n++) {
        double *padded = scratch + (size_t)omp_get_thread_num() * k->padded;

        widen(k, x + n * k->x_step, padded);
        k->fn(&k->sample, padded, w, y + n * k->y_step);
    }
}

static void free_wide(struct kernel *k)
{
    free(k);
}

static int64_t at_least(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Strides of the widened input, which is as large as the kernel reads: whole tiles of output pixels. */
static void measure(struct wide_kernel *k, const struct conv_case *c, int block)
{
    struct conv_sample *s = &k->sample;
    int64_t tile = conv_tile(block), wide = (s->out_width + tile - 1) / tile * tile;
    int64_t width =
        at_least(c->x.dim[3] + c->pads_before[1], (wide - 1) * c->strides[1] + c->w.dim[3]);
    int64_t height = at_least(c->x.dim[2] + c->pads_before[0],
                              (s->out_height - 1) * c->strides[0] + c->w.dim[2]);

    s->row_step = width * s->depth;
    s->block_step = height * s->row_step;
    s->out_row_step = c->strides[0] * s->row_step;
    s->out_col_step = c->strides[1] * s->depth;
    k->padded = (size_t)(s->in_blocks * s->block_step);
}

struct kernel *conv_wide_kernel(const struct cpu *c, const struct conv_case *conv)
{
    bool plain = conv->x_layout != CPU_BLOCKED;
    const struct shape *x = &conv->x, *y = &conv->y;
    int64_t in_blocks = cpu_blocks(c, x->dim[1]), out_blocks = cpu_blocks(c, y->dim[1]);
    struct wide_kernel *k = NEW(struct wide_kernel);

    k->base = (struct kernel){.run = run_wide, .free = free_wide, .impl = "direct, sums in double"};
    k->fn = conv_kernel(c->simd);
    k->sample = (struct conv_sample){.in_blocks = plain ? 1 : in_blocks,
                                     .depth = plain ? x->dim[1] : c->block,
                                     .out_blocks = out_blocks,
                                     .out_height = y->dim[2],
                                     .out_width = y->dim[3],
                                     .kernel = {conv->w.dim[2], conv->w.dim[3]}};
    k->samples = x->dim[0];
    k->height = x->dim[2];
    k->width = x->dim[3];
    k->top = conv->pads_before[0];
    k->left = conv->pads_before[1];
    k->x_step = (plain ? x->dim[1] : in_blocks * c->block) * x->dim[2] * x->dim[3];
    k->y_step = out_blocks * c->block * y->dim[2] * y->dim[3];
    k->plain = plain;
    k->threads = c->base.threads;
    measure(k, conv, c->block);
    k->base.scratch_bytes = (size_t)k->threads * k->padded * sizeof(double);
    return &k->base;
}
