/* From reals to bytes and back, and how large reals are. Bytes have their channels side by side; reals are read where
 * they are: blocked, side by side, or plain. */
#include <float.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "proto/base/clones.h"
#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/backend/ref/ref.h"
#include "worker/engine/ops/ops.h"

struct quant_kernel {
    struct kernel base;
    struct cpu_image image; /* side by side: all channels are one block */
    float lo, hi, scale;
    bool is_signed;
    int64_t n; /* elements: of all, or of a sample */
    int threads;
};

/* Added to a float that is not too large, this leaves no room for a fraction: it is rounded, half to even. */
static const float no_fraction = 0x1.8p23f;

/* `live` channels of each pixel of a plane. */
CLONES static void to_bytes(const struct quant_kernel *k, const float *x, const float *scale,
                            const float *shift, int live, uint8_t *q)
{
    for (int64_t p = 0; p < k->image.plane; p++, x += k->image.block, q += k->image.channels)
        _Pragma("omp simd") for (int j = 0; j < live; j++)
        {
            float v = x[j] * scale[j] + shift[j];

            v = v > k->lo ? v : k->lo;
            v = v < k->hi ? v : k->hi;
            q[j] = (uint8_t)(int32_t)(v + no_fraction - no_fraction);
        }
}

/* x, scale, shift */
static void run_quantise(struct kernel *base, void *const *args)
{
    const struct quant_kernel *k = (const struct quant_kernel *)base;
    const struct cpu_image *im = &k->image;
    const float *x = args[0], *scale = args[1], *shift = args[2];
    uint8_t *q = args[3];

#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t t = 0; t < im->samples * im->blocks; t++) {
        int64_t sample = t / im->blocks, c = t % im->blocks * im->block;

        to_bytes(k, x + t * im->plane * im->block, scale + c, shift + c,
                 cpu_live(im, t % im->blocks), q + sample * im->plane * im->channels + c);
    }
}

CLONES static void to_reals(const struct quant_kernel *k, const void *q, float *y)
{
    const uint8_t *u = q;
    const int8_t *s = q;

    if (k->is_signed)
        _Pragma("omp simd") for (int64_t i = 0; i < k->n; i++) y[i] = (float)s[i] * k->scale;
    else
        _Pragma("omp simd") for (int64_t i = 0; i < k->n; i++) y[i] = (float)u[i] * k->scale;
}

/* q */
static void run_dequantise(struct kernel *base, void *const *args)
{
    to_reals((const struct quant_kernel *)base, args[0], args[1]);
}

CLONES static float greatest(const float *x, int64_t n)
{
    float most = 0;

    _Pragma("omp simd reduction(max : most)") for (int64_t i = 0; i < n; i++)
    {
        float magnitude = x[i] < 0 ? -x[i] : x[i];

        magnitude = magnitude <= FLT_MAX ? magnitude : INFINITY;

        most = magnitude > most ? magnitude : most;
    }
    return most;
}

/* x */
static void run_abs_max(struct kernel *base, void *const *args)
{
    const struct quant_kernel *k = (const struct quant_kernel *)base;
    float *y = args[1];

    for (int64_t i = 0; i < k->image.samples; i++)
        y[i] = greatest((const float *)args[0] + i * k->n, k->n);
}

static void free_quant(struct kernel *k)
{
    free(k);
}

static struct quant_kernel *new_kernel(struct cpu *c, void (*run)(struct kernel *, void *const *),
                                       const char *impl)
{
    struct quant_kernel *k = NEW(struct quant_kernel);

    k->base = (struct kernel){.run = run, .free = free_quant, .impl = impl};
    k->threads = c->base.threads;
    return k;
}

static bool is_image(const struct graph *g, const struct node *n)
{
    const struct quantise_attr *a = n->attr;

    return graph_shape(g, n->in[0])->rank == 4 && a->axis == 1;
}

static bool side_by_side(const struct graph *g, value_id v)
{
    return g->values.at[v].layout >= CPU_OPAQUE;
}

/* All channels are one block. */
static struct cpu_image image_of_pixels(const struct shape *s)
{
    return (struct cpu_image){.samples = s->dim[0],
                              .channels = s->dim[1],
                              .blocks = 1,
                              .plane = s->dim[2] * s->dim[3],
                              .block = (int)s->dim[1]};
}

/* Weights are made once, by the reference kernel. */
static bool quantise_layouts(struct cpu *c, const struct graph *g, const struct node *n, int *in,
                             int *out, struct error *err)
{
    (void)err;
    in[1] = in[2] = LAYOUT_PLAIN;
    in[0] = is_image(g, n) ? g->values.at[n->in[0]].layout : LAYOUT_PLAIN;
    out[0] = is_image(g, n)
                 ? cpu_pixels_layout(c, graph_shape(g, n->out[0]), g->values.at[n->out[0]].dtype)
                 : LAYOUT_PLAIN;
    return true;
}

static struct kernel *quantise_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                      struct error *err)
{
    const struct quantise_attr *a = n->attr;
    struct quant_kernel *k;

    if (!is_image(g, n))
        return ref_kernel_new(g, n, false, err);
    k = new_kernel(c, run_quantise, "to bytes");
    k->image = side_by_side(g, n->in[0]) ? image_of_pixels(graph_shape(g, n->in[0]))
                                         : cpu_image_of(c, g, n->in[0]);
    k->lo = a->is_signed ? -128 : 0;
    k->hi = a->is_signed ? 127 : 255;
    return &k->base;
}

static bool dequantise_layouts(struct cpu *c, const struct graph *g, const struct node *n, int *in,
                               int *out, struct error *err)
{
    const struct shape *s = graph_shape(g, n->in[0]);
    bool image = s->rank == 4;

    (void)err;
    in[0] = image ? cpu_pixels_layout(c, s, g->values.at[n->in[0]].dtype) : LAYOUT_PLAIN;
    out[0] = image ? cpu_pixels_layout(c, s, DT_REAL) : LAYOUT_PLAIN;
    return true;
}

static struct kernel *dequantise_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                        struct error *err)
{
    struct quant_kernel *k = new_kernel(c, run_dequantise, "to reals");

    (void)err;
    k->n = shape_count(graph_shape(g, n->in[0]));
    k->scale = (float)((const struct dequantise_attr *)n->attr)->scale;
    k->is_signed = g->values.at[n->in[0]].dtype == DT_S8;
    return &k->base;
}

static bool abs_max_layouts(struct cpu *c, const struct graph *g, const struct node *n, int *in,
                            int *out, struct error *err)
{
    (void)c;
    (void)err;
    in[0] = g->values.at[n->in[0]].layout;
    out[0] = LAYOUT_PLAIN;
    return true;
}

static struct kernel *abs_max_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                     struct error *err)
{
    struct quant_kernel *k = new_kernel(c, run_abs_max, "greatest");
    dnnl_memory_desc_t md = cpu_md(c, g, n->in[0]);

    (void)err;
    k->image.samples = md.dims[0];
    k->n = (int64_t)(dnnl_memory_desc_get_size(&md) / sizeof(float)) / md.dims[0];
    return &k->base;
}

const struct cpu_op cpu_quant_ops[] = {
    {.op = &op_quantise, .layouts = quantise_layouts, .kernel = quantise_kernel},
    {.op = &op_dequantise, .layouts = dequantise_layouts, .kernel = dequantise_kernel},
    {.op = &op_abs_max, .layouts = abs_max_layouts, .kernel = abs_max_kernel},
    {.op = NULL},
};
