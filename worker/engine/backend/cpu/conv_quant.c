/* Convolutions of bytes, by oneDNN where that is exact, else by the reference kernel. Sums are exact, so neither chunks nor threads can show, and what is made of a
 * sum is one channel's business: (sum + bias) scale, then the residual, the ReLU and the rounding, in this order. */
#include <stdlib.h>

#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/backend/ref/ref.h"
#include "worker/engine/ops/ops.h"

enum {
    ANY = -1
};

static enum dtype type_of(const struct graph *g, value_id v)
{
    return g->values.at[v].dtype;
}

/* Weights in one layout, or (ANY) in whatever layout the primitive likes best. */
static dnnl_memory_desc_t weights_md(const struct cpu *c, const struct graph *g, value_id w,
                                     int layout)
{
    const struct shape *s = graph_shape(g, w);
    const dnnl_dims_t dims = {s->dim[0], s->dim[1], s->dim[2], s->dim[3]};
    dnnl_memory_desc_t md;

    if (layout != ANY)
        return cpu_md(c, g, w);
    ASSERT(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_s8, dnnl_format_tag_any) ==
           dnnl_success);
    return md;
}

static dnnl_memory_desc_t image_md(const struct graph *g, value_id v)
{
    return cpu_pixels_md(graph_shape(g, v), type_of(g, v));
}

static int image_layout(struct cpu *c, const struct graph *g, value_id v)
{
    return cpu_pixels_layout(c, graph_shape(g, v), type_of(g, v));
}

static dnnl_primitive_attr_t attr_of(const struct graph *g, const struct node *n)
{
    const struct quant_conv_attr *a = n->attr;
    const struct value *scale = &g->values.at[n->in[2]];
    dnnl_primitive_attr_t attr = cpu_attr();
    dnnl_post_ops_t ops;

    ASSERT(dnnl_primitive_attr_set_output_scales(attr, scale->shape.dim[0], 1 << 1, scale->data) ==
           dnnl_success);
    ASSERT(dnnl_post_ops_create(&ops) == dnnl_success);
    if (n->n_in > 4)
        ASSERT(dnnl_post_ops_append_sum_v2(ops, (float)a->residual,
                                           cpu_data_type(type_of(g, n->in[4]))) == dnnl_success);
    if (a->conv.relu)
        ASSERT(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0) == dnnl_success);
    ASSERT(dnnl_primitive_attr_set_post_ops(attr, ops) == dnnl_success);
    dnnl_post_ops_destroy(ops);
    return attr;
}

static bool make_pd(struct cpu *c, const struct graph *g, const struct node *n, int weights,
                    dnnl_primitive_desc_t *pd, struct error *err)
{
    const struct conv_attr *a = &((const struct quant_conv_attr *)n->attr)->conv;
    const struct shape *channels = graph_shape(g, n->in[3]);
    dnnl_memory_desc_t x = image_md(g, n->in[0]), w = weights_md(c, g, n->in[1], weights);
    dnnl_memory_desc_t b = cpu_md_as(c, channels, LAYOUT_PLAIN), y = image_md(g, n->out[0]);
    const dnnl_dims_t strides = {a->strides[0], a->strides[1]}, before = {a->pads[0], a->pads[1]};
    const dnnl_dims_t after = {a->pads[2], a->pads[3]};
    dnnl_primitive_attr_t attr;
    dnnl_convolution_desc_t d;
    bool ok;

    if (g->values.at[n->in[2]].kind != VALUE_CONST || a->group != 1)
        return err_set(err, ERR_UNSUPPORTED, "expected constant scales and one group");
    attr = attr_of(g, n);
    ok = cpu_ok(dnnl_convolution_forward_desc_init(&d, dnnl_forward_inference,
                                                   dnnl_convolution_direct, &x, &w, &b, &y, strides,
                                                   before, after),
                "convolution of bytes", err) &&
         cpu_ok(dnnl_primitive_desc_create(pd, &d, attr, c->engine, NULL), "convolution of bytes",
                err);
    dnnl_primitive_attr_destroy(attr);
    return ok;
}

static bool quant_conv_layouts(struct cpu *c, const struct graph *g, const struct node *n, int *in,
                               int *out, struct error *err)
{
    struct error inexact;
    dnnl_primitive_desc_t pd;

    if (!backend_multiplies_bytes(&inexact)) {
        for (int k = 0; k < n->n_in; k++)
            in[k] = LAYOUT_PLAIN;
        out[0] = LAYOUT_PLAIN;
        return true;
    }
    if (!make_pd(c, g, n, ANY, &pd, err))
        return false;
    in[0] = image_layout(c, g, n->in[0]);
    in[1] = cpu_layout_of(c, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0));
    in[2] = in[3] = LAYOUT_PLAIN;
    if (n->n_in > 4)
        in[4] = image_layout(c, g, n->in[4]);
    out[0] = image_layout(c, g, n->out[0]);
    dnnl_primitive_desc_destroy(pd);
    return true;
}

static struct kernel *quant_conv_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                        struct error *err)
{
    const struct cpu_arg args[] = {
        {DNNL_ARG_SRC, 0}, {DNNL_ARG_WEIGHTS, 1}, {DNNL_ARG_BIAS, 3}, {DNNL_ARG_DST, n->n_in}};
    dnnl_memory_desc_t y = image_md(g, n->out[0]);
    dnnl_primitive_desc_t pd;
    struct cpu_kernel *k;
    struct error inexact;

    if (!backend_multiplies_bytes(&inexact))
        return ref_kernel_new(g, n, false, err);
    if (!make_pd(c, g, n, g->values.at[n->in[1]].layout, &pd, err))
        return NULL;
    k = (struct cpu_kernel *)cpu_primitive_kernel(c, pd, 4, args, n->n_in + n->n_out, err);
    if (k && n->n_in > 4) {
        k->residual = 4;
        k->dst = n->n_in;
        k->dst_bytes = dnnl_memory_desc_get_size(&y);
    }
    return k ? &k->base : NULL;
}

const struct cpu_op cpu_quant_conv_ops[] = {
    {.op = &op_quant_conv,
     .layouts = quant_conv_layouts,
     .kernel = quant_conv_kernel,
     .inplace = 1u << 4},
    {.op = NULL},
};
