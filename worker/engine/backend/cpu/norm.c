/* Batch norm, with scale and shift as two vectors. */
#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/ops/ops.h"

/* x, dy and the results like x follow x; everything else is one number a channel. */
static bool norm_layouts(struct cpu *c, const struct graph *g, const struct node *n, int *in,
                         int *out, struct error *err)
{
    int x = cpu_image_layout(c, graph_shape(g, n->in[0]));

    (void)err;
    in[0] = out[0] = x;
    for (int i = 1; i < n->n_in; i++)
        in[i] = n->op == &op_batch_norm_train_grad && i == 4 ? x : LAYOUT_PLAIN;
    for (int i = 1; i < n->n_out; i++)
        out[i] = LAYOUT_PLAIN;
    return true;
}

static bool forward_pd(struct cpu *c, const dnnl_memory_desc_t *x, double eps, bool training,
                       dnnl_primitive_desc_t *pd, struct error *err)
{
    dnnl_batch_normalization_desc_t d;
    dnnl_primitive_attr_t attr = cpu_attr();
    unsigned flags = dnnl_use_scale | dnnl_use_shift | (training ? 0 : dnnl_use_global_stats);
    bool ok = cpu_ok(dnnl_batch_normalization_forward_desc_init(
                         &d, training ? dnnl_forward_training : dnnl_forward_inference, x,
                         (float)eps, flags),
                     "batch norm", err) &&
              cpu_ok(dnnl_primitive_desc_create(pd, &d, attr, c->engine, NULL), "batch norm", err);

    dnnl_primitive_attr_destroy(attr);
    return ok;
}

static struct kernel *forward_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                     struct error *err)
{
    static const struct cpu_arg training[] = {{DNNL_ARG_SRC, 0},   {DNNL_ARG_SCALE, 1},
                                              {DNNL_ARG_SHIFT, 2}, {DNNL_ARG_DST, 3},
                                              {DNNL_ARG_MEAN, 4},  {DNNL_ARG_VARIANCE, 5}};
    static const struct cpu_arg inference[] = {{DNNL_ARG_SRC, 0},      {DNNL_ARG_SCALE, 1},
                                               {DNNL_ARG_SHIFT, 2},    {DNNL_ARG_MEAN, 3},
                                               {DNNL_ARG_VARIANCE, 4}, {DNNL_ARG_DST, 5}};
    bool train = n->op == &op_batch_norm_train;
    dnnl_memory_desc_t x = cpu_md(c, g, n->in[0]);
    dnnl_primitive_desc_t pd;

    if (!forward_pd(c, &x, ((const struct norm_attr *)n->attr)->epsilon, train, &pd, err))
        return NULL;
    return cpu_primitive_kernel(c, pd, 6, train ? training : inference, n->n_in + n->n_out, err);
}

static struct kernel *backward_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                      struct error *err)
{
    /* The primitive insists on a shift, which a gradient does not need: it gets gamma again. */
    static const struct cpu_arg args[] = {
        {DNNL_ARG_SRC, 0},      {DNNL_ARG_SCALE, 1},      {DNNL_ARG_SHIFT, 1},
        {DNNL_ARG_MEAN, 2},     {DNNL_ARG_VARIANCE, 3},   {DNNL_ARG_DIFF_DST, 4},
        {DNNL_ARG_DIFF_SRC, 5}, {DNNL_ARG_DIFF_SCALE, 6}, {DNNL_ARG_DIFF_SHIFT, 7},
    };
    dnnl_memory_desc_t x = cpu_md(c, g, n->in[0]);
    double eps = ((const struct norm_attr *)n->attr)->epsilon;
    dnnl_batch_normalization_desc_t d;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t hint, pd;
    bool ok;

    if (!forward_pd(c, &x, eps, true, &hint, err))
        return NULL;
    attr = cpu_attr();
    ok = cpu_ok(dnnl_batch_normalization_backward_desc_init(&d, dnnl_backward, &x, &x, (float)eps,
                                                            dnnl_use_scale | dnnl_use_shift),
                "batch norm gradient", err) &&
         cpu_ok(dnnl_primitive_desc_create(&pd, &d, attr, c->engine, hint), "batch norm gradient",
                err);
    dnnl_primitive_attr_destroy(attr);
    dnnl_primitive_desc_destroy(hint);
    return ok ? cpu_primitive_kernel(c, pd, ARRAY_LEN(args), args, n->n_in + n->n_out, err) : NULL;
}

const struct cpu_op cpu_norm_ops[] = {
    {.op = &op_batch_norm, .layouts = norm_layouts, .kernel = forward_kernel, .inplace = 1u << 0},
    {.op = &op_batch_norm_train, .layouts = norm_layouts, .kernel = forward_kernel},
    {.op = &op_batch_norm_train_grad, .layouts = norm_layouts, .kernel = backward_kernel},
    {.op = NULL},
};
