/* Convolutions: oneDNN's direct algorithm on blocked activations, weights in the primitive's own layout, and
 * who else serves: conv_winograd.c, conv_wide.c, conv_depthwise.c, conv_grouped.c. */
#include <stdlib.h>

#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/conv.h"
#include "worker/engine/ops/ops.h"

static bool depthwise(const struct conv_case *k)
{
    return k->attr->group == k->x.dim[1] && k->attr->group == k->y.dim[1];
}

/* What the pass layout is told. oneDNN's fast kernels want both sides blocked; only a first layer may read plain images. */
static void choose_layouts(const struct cpu *c, struct conv_case *k)
{
    int64_t group = k->attr->group;
    bool x_blocks = cpu_image_layout(c, &k->x) == CPU_BLOCKED;
    bool y_blocks = cpu_image_layout(c, &k->y) == CPU_BLOCKED;

    /* The channels of a group may not share a block with those of another. */
    if (group > 1 && !depthwise(k))
        x_blocks = y_blocks =
            k->x.dim[1] / group % c->block == 0 && k->y.dim[1] / group % c->block == 0;
    k->x_layout = k->y_layout = LAYOUT_PLAIN;
    if (group == 1 && y_blocks && k->x.dim[1] <= 4)
        k->y_layout = CPU_BLOCKED;
    else if (x_blocks && y_blocks)
        k->x_layout = k->y_layout = CPU_BLOCKED;
}

struct roles {
    value_id x, w, y;
};

static struct roles roles_of(const struct node *n)
{
    if (n->op == &op_conv_input_grad)
        return (struct roles){.x = n->out[0], .w = n->in[0], .y = n->in[1]};
    if (n->op == &op_conv_weight_grad)
        return (struct roles){.x = n->in[0], .w = n->out[0], .y = n->in[1]};
    return (struct roles){.x = n->in[0], .w = n->in[1], .y = n->out[0]};
}

/* With the layouts that the values have in the graph. */
static struct conv_case case_of(const struct graph *g, const struct node *n)
{
    struct roles r = roles_of(n);
    struct conv_case k = {.x = *graph_shape(g, r.x),
                          .w = *graph_shape(g, r.w),
                          .y = *graph_shape(g, r.y),
                          .attr = n->attr,
                          .x_layout = g->values.at[r.x].layout,
                          .y_layout = g->values.at[r.y].layout};

    for (int i = 0; i < 2; i++) {
        k.strides[i] = k.attr->strides[i];
        k.pads_before[i] = k.attr->pads[i];
        k.pads_after[i] = k.attr->pads[i + 2];
    }
    return k;
}

/* The gradient of a weight is a sum over all pixels of the batch. A float that collects them one after
 * the other ends with an error of some 1e-6 of the gradient, most of all the error of a step; summed in
 * parts, and the parts then, it is a tenth of that. A part is as many samples as have this many pixels. */
enum {
    PART_PIXELS = 1024
};

static int64_t part_samples(const struct conv_case *k)
{
    int64_t samples = PART_PIXELS / (k->y.dim[2] * k->y.dim[3]);

    samples = samples < 1 ? 1 : samples;
    return samples < k->x.dim[0] ? samples : k->x.dim[0];
}

static void set_samples(struct conv_case *k, int64_t n)
{
    k->x.dim[0] = k->y.dim[0] = n;
}

/* Weights in one layout, or (ANY) in whatever layout the primitive likes best. */
enum {
    ANY = -1
};

static dnnl_memory_desc_t weights_md(const struct cpu *c, const struct conv_case *k, int layout)
{
    int64_t group = k->attr->group;
    bool grouped = group > 1;
    dnnl_dims_t plain = {k->w.dim[0], k->w.dim[1], k->w.dim[2], k->w.dim[3]};
    dnnl_dims_t by_group = {group, k->w.dim[0] / group, k->w.dim[1], k->w.dim[2], k->w.dim[3]};
    dnnl_memory_desc_t md;

    if (layout >= CPU_OPAQUE)
        return cpu_md_as(c, &k->w, layout);
    ASSERT(dnnl_memory_desc_init_by_tag(&md, grouped ? 5 : 4, grouped ? by_group : plain, dnnl_f32,
                                        dnnl_format_tag_any) == dnnl_success);
    return layout == ANY ? md : cpu_plain_like(&md);
}

/* Forward: inference takes a bias and post-operations, training neither clamps nor adds. */
static bool forward_pd(struct cpu *c, const struct conv_case *k, dnnl_prop_kind_t kind, bool bias,
                       dnnl_primitive_attr_t attr, int weights, dnnl_primitive_desc_t *pd,
                       struct error *err)
{
    struct shape channels = shape1(k->y.dim[1]);
    dnnl_memory_desc_t x = cpu_md_as(c, &k->x, k->x_layout), y = cpu_md_as(c, &k->y, k->y_layout);
    dnnl_memory_desc_t w = weights_md(c, k, weights), b = cpu_md_as(c, &channels, LAYOUT_PLAIN);
    dnnl_convolution_desc_t d;

    return cpu_ok(dnnl_convolution_forward_desc_init(&d, kind, dnnl_convolution_direct, &x, &w,
                                                     bias ? &b : NULL, &y, k->strides,
                                                     k->pads_before, k->pads_after),
                  "convolution", err) &&
           cpu_ok(dnnl_primitive_desc_create(pd, &d, attr, c->engine, NULL), "convolution", err);
}

static dnnl_primitive_attr_t fused_attr(bool add, bool relu)
{
    dnnl_primitive_attr_t attr = cpu_attr();
    dnnl_post_ops_t ops;

    ASSERT(dnnl_post_ops_create(&ops) == dnnl_success);
    if (add)
        ASSERT(dnnl_post_ops_append_sum(ops, 1) == dnnl_success);
    if (relu)
        ASSERT(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0) == dnnl_success);
    ASSERT(dnnl_primitive_attr_set_post_ops(attr, ops) == dnnl_success);
    dnnl_post_ops_destroy(ops);
    return attr;
}

/* The primitive of a node, forward or backward. */
static bool make_pd(struct cpu *c, const struct node *n, const struct conv_case *k, int weights,
                    dnnl_primitive_desc_t *pd, struct error *err)
{
    bool fused = n->op == &op_fused_conv;
    dnnl_primitive_attr_t attr = fused ? fused_attr(n->n_in > 3, k->attr->relu) : cpu_attr();
    dnnl_prop_kind_t kind = fused ? dnnl_forward_inference : dnnl_forward_training;
    bool backward = n->op == &op_conv_input_grad || n->op == &op_conv_weight_grad;
    dnnl_memory_desc_t x = cpu_md_as(c, &k->x, k->x_layout), y = cpu_md_as(c, &k->y, k->y_layout);
    dnnl_memory_desc_t w = weights_md(c, k, weights);
    dnnl_convolution_desc_t d;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_status_t status;
    bool ok = forward_pd(c, k, kind, !backward && n->n_in > 2, attr, backward ? ANY : weights,
                         backward ? &hint : pd, err);

    if (ok && backward) {
        status = n->op == &op_conv_input_grad
                     ? dnnl_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, &x, &w,
                                                                &y, k->strides, k->pads_before,
                                                                k->pads_after)
                     : dnnl_convolution_backward_weights_desc_init(&d, dnnl_convolution_direct, &x,
                                                                   &w, NULL, &y, k->strides,
                                                                   k->pads_before, k->pads_after);
        ok = cpu_ok(status, "convolution gradient", err) &&
             cpu_ok(dnnl_primitive_desc_create(pd, &d, attr, c->engine, hint),
                    "convolution gradient", err);
        dnnl_primitive_desc_destroy(hint);
    }
    dnnl_primitive_attr_destroy(attr);
    return ok;
}

/* Whether `auto` means winograd. Not for the gradient of the input, where most that was tried made one or
 * another golden trajectory leave its course. */
static bool winograd_by_itself(const struct node *n, const struct conv_case *k)
{
    return n->op != &op_conv_input_grad && conv_winograd_pays(k);
}

/* A bias without the fused form's clamping is left to oneDNN. */
static bool by_winograd(const struct cpu *c, const struct graph *g, const struct node *n,
                        const struct conv_case *k)
{
    return !(n->op == &op_conv && n->n_in > 2) && g->convolution != CONVOLUTION_DIRECT &&
           conv_winograd_can(c, k) &&
           (g->convolution == CONVOLUTION_WINOGRAD || winograd_by_itself(n, k));
}

/* x, y and weights in the order of the node's arguments. */
static void place_layouts(const struct node *n, const struct conv_case *k, int w, int *in, int *out)
{
    if (n->op == &op_conv_input_grad) {
        in[0] = w;
        in[1] = k->y_layout;
        out[0] = k->x_layout;
    } else if (n->op == &op_conv_weight_grad) {
        in[0] = k->x_layout;
        in[1] = k->y_layout;
        out[0] = w;
    } else {
        in[0] = k->x_layout;
        in[1] = w;
        in[2] = LAYOUT_PLAIN;
        in[3] = out[0] = k->y_layout;
    }
}

static bool conv_layouts(struct cpu *c, const struct graph *g, const struct node *n, int *in,
                         int *out, struct error *err)
{
    struct conv_case k = case_of(g, n);
    bool weight_grad = n->op == &op_conv_weight_grad;
    dnnl_primitive_desc_t pd;
    int w;

    choose_layouts(c, &k);
    if (conv_grouped_serves(c, &k, n)) {
        k.x_layout = k.y_layout = CPU_BLOCKED;
        place_layouts(n, &k, LAYOUT_PLAIN, in, out);
        return true;
    }
    if (conv_depthwise_serves(&k, n)) {
        place_layouts(n, &k, LAYOUT_PLAIN, in, out);
        return true;
    }
    if (by_winograd(c, g, n, &k)) {
        w = conv_winograd_weights(c, &k, n->op == &op_conv_input_grad);
        place_layouts(n, &k, w, in, out);
        return true;
    }
    if (n->op == &op_conv && conv_wide_serves(c, &k, n)) {
        place_layouts(n, &k, conv_wide_weights(c, &k), in, out);
        return true;
    }
    if (weight_grad)
        set_samples(&k, part_samples(&k));
    if (!make_pd(c, n, &k, ANY, &pd, err))
        return false;
    w = cpu_layout_of(c,
                      dnnl_primitive_desc_query_md(
                          pd, weight_grad ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0));
    dnnl_primitive_desc_destroy(pd);
    place_layouts(n, &k, w, in, out);
    return true;
}

static struct kernel *forward_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                     struct error *err)
{
    struct conv_case k = case_of(g, n);
    struct cpu_arg args[4] = {
        {DNNL_ARG_SRC, 0}, {DNNL_ARG_WEIGHTS, 1}, {DNNL_ARG_DST, n->n_in}, {DNNL_ARG_BIAS, 2}};
    dnnl_primitive_desc_t pd;
    struct cpu_kernel *kernel;

    if (conv_depthwise_serves(&k, n))
        return conv_depthwise_kernel(c, &k);
    if (conv_grouped_serves(c, &k, n))
        return conv_grouped_kernel(c, &k);
    if (by_winograd(c, g, n, &k))
        return conv_winograd_kernel(c, &k, n);
    if (n->op == &op_conv && conv_wide_serves(c, &k, n))
        return conv_pixels_serves(&k) ? conv_pixels_kernel(c, &k) : conv_wide_kernel(c, &k);
    if (!make_pd(c, n, &k, g->values.at[n->in[1]].layout, &pd, err))
        return NULL;
    kernel = (struct cpu_kernel *)cpu_primitive_kernel(c, pd, n->n_in > 2 ? 4 : 3, args,
                                                       n->n_in + n->n_out, err);
    if (kernel && n->n_in > 3) {
        dnnl_memory_desc_t y = cpu_md_as(c, &k.y, k.y_layout);

        kernel->residual = 3;
        kernel->dst = n->n_in;
        kernel->dst_bytes = dnnl_memory_desc_get_size(&y);
    }
    return kernel ? &kernel->base : NULL;
}

static struct kernel *input_grad_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                        struct error *err)
{
    static const struct cpu_arg args[] = {
        {DNNL_ARG_WEIGHTS, 0}, {DNNL_ARG_DIFF_DST, 1}, {DNNL_ARG_DIFF_SRC, 2}};
    struct conv_case k = case_of(g, n);
    dnnl_primitive_desc_t pd;

    if (conv_depthwise_serves(&k, n))
        return conv_depthwise_input_grad(c, &k);
    if (conv_grouped_serves(c, &k, n))
        return conv_grouped_input_grad(c, &k);
    if (by_winograd(c, g, n, &k))
        return conv_winograd_input_grad(c, &k);
    if (!make_pd(c, n, &k, g->values.at[n->in[0]].layout, &pd, err))
        return NULL;
    return cpu_primitive_kernel(c, pd, 3, args, 3, err);
}

/* The gradient of weights in parts of a few samples each, and a last part with the rest. */
struct weight_grad_kernel {
    struct kernel base;
    struct kernel *part, *rest; /* rest may be NULL */
    int64_t parts;
    size_t x_step, dy_step; /* bytes of a part */
    size_t weights;         /* floats in their layout */
    size_t partial_offset;  /* bytes from the start of scratch */
};

static void run_weight_grad(struct kernel *base, void *const *args)
{
    const struct weight_grad_kernel *k = (const struct weight_grad_kernel *)base;
    float *total = args[2], *partial = (void *)((char *)args[3] + k->partial_offset);

    for (int64_t i = 0; i < k->parts + (k->rest != NULL); i++) {
        struct kernel *kernel = i < k->parts ? k->part : k->rest;
        size_t at = (size_t)i;
        void *part_args[] = {(char *)args[0] + at * k->x_step, (char *)args[1] + at * k->dy_step,
                             i ? partial : total, args[3]};

        kernel->run(kernel, part_args);
        for (size_t w = 0; i && w < k->weights; w++)
            total[w] += partial[w];
    }
}

static void free_weight_grad(struct kernel *base)
{
    struct weight_grad_kernel *k = (struct weight_grad_kernel *)base;

    if (k->part)
        k->part->free(k->part);
    if (k->rest)
        k->rest->free(k->rest);
    free(k);
}

static struct kernel *part_kernel(struct cpu *c, const struct node *n, struct conv_case k,
                                  int64_t samples, int weights, struct error *err)
{
    static const struct cpu_arg args[] = {
        {DNNL_ARG_SRC, 0}, {DNNL_ARG_DIFF_DST, 1}, {DNNL_ARG_DIFF_WEIGHTS, 2}};
    dnnl_primitive_desc_t pd;

    set_samples(&k, samples);
    return make_pd(c, n, &k, weights, &pd, err) ? cpu_primitive_kernel(c, pd, 3, args, 3, err)
                                                : NULL;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t image_bytes(const struct cpu *c, const struct shape *s, int layout)
{
    dnnl_memory_desc_t md = cpu_md_as(c, s, layout);

    return dnnl_memory_desc_get_size(&md);
}

static struct kernel *weight_grad_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                         struct error *err)
{
    struct conv_case k = case_of(g, n);
    int64_t batch = k.x.dim[0], samples = part_samples(&k);
    int weights = g->values.at[n->out[0]].layout;
    struct weight_grad_kernel *w;
    dnnl_memory_desc_t md = weights_md(c, &k, weights);
    bool ok;

    if (conv_depthwise_serves(&k, n))
        return conv_depthwise_weight_grad(c, &k);
    if (conv_grouped_serves(c, &k, n))
        return conv_grouped_weight_grad(c, &k);
    if (by_winograd(c, g, n, &k))
        return conv_winograd_weight_grad(c, &k);
    w = NEW(struct weight_grad_kernel);
    w->base = (struct kernel){.run = run_weight_grad, .free = free_weight_grad};
    w->parts = batch / samples;
    w->part = part_kernel(c, n, k, samples, weights, err);
    ok = w->part != NULL;
    if (ok && batch % samples) {
        w->rest = part_kernel(c, n, k, batch % samples, weights, err);
        ok = w->rest != NULL;
    }
    if (!ok) {
        free_weight_grad(&w->base);
        return NULL;
    }
    w->base.impl = w->part->impl;
    w->x_step = image_bytes(c, &k.x, k.x_layout) / (size_t)batch * (size_t)samples;
    w->dy_step = image_bytes(c, &k.y, k.y_layout) / (size_t)batch * (size_t)samples;
    w->weights = dnnl_memory_desc_get_size(&md) / sizeof(float);
    w->partial_offset =
        (larger(w->part->scratch_bytes, w->rest ? w->rest->scratch_bytes : 0) + 63) / 64 * 64;
    w->base.scratch_bytes = w->partial_offset + w->weights * sizeof(float);
    return &w->base;
}

const struct cpu_op cpu_conv_ops[] = {
    {.op = &op_conv, .layouts = conv_layouts, .kernel = forward_kernel},
    {.op = &op_fused_conv, .layouts = conv_layouts, .kernel = forward_kernel, .inplace = 1u << 3},
    {.op = &op_conv_input_grad, .layouts = conv_layouts, .kernel = input_grad_kernel},
    {.op = &op_conv_weight_grad, .layouts = conv_layouts, .kernel = weight_grad_kernel},
    {.op = NULL},
};
