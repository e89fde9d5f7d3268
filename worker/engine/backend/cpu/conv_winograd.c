/* Convolutions by winograd_kernels.h: forward, and the gradient of the input, which is another convolution,
 * of dy with the weights turned round. Forward in training computes in double, for the reason that
 * conv_kernels.h gives; teacher and gradients do not need it, and compute in float in half the time. */
#include <omp.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/winograd.h"

struct winograd_conv {
    struct winograd w;
    bool turned, relu;
    int bias, residual; /* in args; -1: none */
    int64_t biases;
};

bool conv_winograd_can(const struct cpu *c, const struct conv_case *k)
{
    for (int i = 0; i < 2; i++)
        if (k->w.dim[2 + i] != 3 || k->strides[i] != 1 || k->pads_before[i] > 2)
            return false;
    return winograd_math(c->simd, true) && k->attr->group == 1 && k->x_layout == CPU_BLOCKED &&
           k->y_layout == CPU_BLOCKED;
}

/* Where tiles do not exceed the image by much, and where there are so few weights that they do not take
 * longer than the images. */
bool conv_winograd_pays(const struct conv_case *k)
{
    int64_t height = k->y.dim[2], width = k->y.dim[3];
    int64_t covered = winograd_tiles(height) * WINOGRAD_OUT * winograd_tiles(width) * WINOGRAD_OUT;

    return 2 * covered <= 3 * height * width && k->w.dim[0] * k->w.dim[1] <= 256 * 256;
}

int conv_winograd_weights(struct cpu *c, const struct conv_case *k, bool turned)
{
    dnnl_format_tag_t tag = c->block == 16 ? (turned ? dnnl_OIhw16o16i : dnnl_OIhw16i16o)
                                           : (turned ? dnnl_OIhw8o8i : dnnl_OIhw8i8o);
    dnnl_dims_t dims = {k->w.dim[0], k->w.dim[1], k->w.dim[2], k->w.dim[3]};
    dnnl_memory_desc_t md;

    ASSERT(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, tag) == dnnl_success);
    return cpu_layout_of(c, &md);
}

/* Of one block of outputs. */
static void transform_weights(const struct winograd_conv *c, const float *weights, int64_t o,
                              char *u)
{
    const struct winograd *k = &c->w;
    int64_t taps = 9 * k->block * k->block;

    for (int64_t b = 0; b < k->in.blocks; b++) {
        int64_t at = c->turned ? b * k->out.blocks + o : o * k->in.blocks + b;

        k->math->weights(weights + at * taps, c->turned, u + winograd_weights(k, o, b, 0),
                         k->u.step);
    }
}

static void read_bias(const struct winograd_conv *c, const float *bias, int64_t o, float *out)
{
    for (int64_t i = 0; i < c->w.block; i++)
        out[i] = o * c->w.block + i < c->biases ? bias[o * c->w.block + i] : 0;
}

/* A block of outputs of a chunk's tiles. */
static void write_output(const struct winograd_conv *c, void *const *args, int64_t o, int64_t first,
                         int64_t count, const char *m)
{
    const struct winograd *k = &c->w;
    _Alignas(64) float bias[CPU_MAX_BLOCK];
    struct winograd_end end = {.relu = c->relu};

    if (c->bias >= 0) {
        read_bias(c, args[c->bias], o, bias);
        end.bias = bias;
    }
    for (int64_t t = 0; t < count;
         t++, m += (size_t)winograd_channels(k, &k->out) * k->math->real) {
        struct winograd_tile at = winograd_tile(k, first + t);
        int64_t offset =
            winograd_block(k, &k->out, at.sample, o) + (at.i * k->out.width + at.j) * k->block;

        if (c->residual >= 0)
            end.residual = (const float *)args[c->residual] + offset;
        k->math->output(m, k->d.step, (float *)args[k->out.arg] + offset, k->out.width * k->block,
                        k->out.height - at.i, k->out.width - at.j, &end);
    }
}

/* All frequencies of a chunk. The tiles are filled up to a whole group, with whatever stands there. */
static void multiply(const struct winograd *k, const char *u, const char *v, char *m, int64_t count)
{
    int64_t inputs = winograd_channels(k, &k->in), outputs = winograd_channels(k, &k->out);
    int64_t group = k->math->tiles, whole = (count + group - 1) / group * group;
    size_t real = k->math->real;

    for (int64_t f = 0; f < WINOGRAD_PRODUCTS; f++)
        for (int64_t o = 0; o < k->out.blocks; o++)
            k->math->multiply(v + (size_t)(f * k->v.step) * real, u + winograd_weights(k, o, 0, f),
                              m + (size_t)(f * k->d.step + o * k->block) * real, inputs, outputs,
                              whole);
}

static void run_chunk(const struct winograd_conv *c, void *const *args, int64_t first, char *v,
                      char *m)
{
    const struct winograd *k = &c->w;
    size_t v_tile = (size_t)winograd_channels(k, &k->in) * k->math->real;
    int64_t count = k->tiles - first < k->chunk ? k->tiles - first : k->chunk;

    for (int64_t t = 0; t < count; t++)
        winograd_read_input(k, args[k->in.arg], first + t, v + (size_t)t * v_tile);
    multiply(k, args[k->scratch], v, m, count);
    for (int64_t o = 0; o < k->out.blocks; o++)
        write_output(c, args, o, first, count, m + (size_t)(o * k->block) * k->math->real);
}

static void run_conv(struct kernel *base, void *const *args)
{
    const struct winograd_conv *c = (const struct winograd_conv *)base;
    const struct winograd *k = &c->w;
    char *scratch = args[k->scratch];

#pragma omp parallel num_threads(k->threads) if (k->threads > 1)
    {
        char *own = scratch + (size_t)omp_get_thread_num() * k->copy;

#pragma omp for schedule(static)
        for (int64_t o = 0; o < k->out.blocks; o++)
            transform_weights(c, args[k->weights], o, scratch);
#pragma omp for schedule(static)
        for (int64_t t = 0; t < k->tiles; t += k->chunk)
            run_chunk(c, args, t, own + k->v.offset, own + k->d.offset);
    }
}

static void free_conv(struct kernel *k)
{
    free(k);
}

static struct winograd_conv *new_conv(const struct winograd *w, const char *impl)
{
    struct winograd_conv *c = NEW(struct winograd_conv);

    c->w = *w;
    c->bias = c->residual = -1;
    winograd_lay_out(&c->w, c->w.threads);
    c->w.base.run = run_conv;
    c->w.base.free = free_conv;
    c->w.base.impl = impl;
    return c;
}

struct kernel *conv_winograd_kernel(const struct cpu *c, const struct conv_case *conv,
                                    const struct node *n)
{
    bool in_double = n->op == &op_conv;
    struct winograd w = winograd_of(c, &conv->x, &conv->y, conv->pads_before, in_double);
    struct winograd_conv *k =
        new_conv(&w, in_double ? "winograd 4x4, sums in double" : "winograd 4x4");

    k->w.weights = 1;
    k->w.out.arg = n->n_in;
    k->w.scratch = n->n_in + 1;
    if (n->n_in > 2) {
        k->bias = 2;
        k->biases = conv->y.dim[1];
        k->relu = conv->attr->relu != 0;
    }
    if (n->n_in > 3)
        k->residual = 3;
    return &k->w.base;
}

struct kernel *conv_winograd_input_grad(const struct cpu *c, const struct conv_case *conv)
{
    dnnl_dims_t pads = {2 - conv->pads_before[0], 2 - conv->pads_before[1]};
    struct winograd w = winograd_of(c, &conv->y, &conv->x, pads, false);
    struct winograd_conv *k = new_conv(&w, "winograd 4x4");

    k->turned = true;
    k->w.weights = 0;
    k->w.in.arg = 1;
    k->w.out.arg = 2;
    k->w.scratch = 3;
    return &k->w.base;
}
