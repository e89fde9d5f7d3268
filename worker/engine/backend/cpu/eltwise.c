/* Element by element, on images in any layout; values of losses go to the reference kernels. */
#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/ops/ops.h"

static struct kernel *add_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                 struct error *err)
{
    static const struct cpu_arg args[] = {
        {DNNL_ARG_SRC_0, 0}, {DNNL_ARG_SRC_1, 1}, {DNNL_ARG_DST, 2}};
    dnnl_memory_desc_t md = cpu_md(c, g, n->in[0]);
    dnnl_primitive_attr_t attr = cpu_attr();
    dnnl_binary_desc_t d;
    dnnl_primitive_desc_t pd = NULL;
    bool ok = cpu_ok(dnnl_binary_desc_init(&d, dnnl_binary_add, &md, &md, &md), "add", err) &&
              cpu_ok(dnnl_primitive_desc_create(&pd, &d, attr, c->engine, NULL), "add", err);

    dnnl_primitive_attr_destroy(attr);
    return ok ? cpu_primitive_kernel(c, pd, 3, args, 3, err) : NULL;
}

static bool relu_pd(struct cpu *c, const dnnl_memory_desc_t *md, dnnl_primitive_desc_t *pd,
                    struct error *err)
{
    dnnl_primitive_attr_t attr = cpu_attr();
    dnnl_eltwise_desc_t d;
    bool ok = cpu_ok(dnnl_eltwise_forward_desc_init(&d, dnnl_forward_training,
                                                    dnnl_eltwise_relu_use_dst_for_bwd, md, 0, 0),
                     "relu", err) &&
              cpu_ok(dnnl_primitive_desc_create(pd, &d, attr, c->engine, NULL), "relu", err);

    dnnl_primitive_attr_destroy(attr);
    return ok;
}

static struct kernel *relu_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                  struct error *err)
{
    static const struct cpu_arg args[] = {{DNNL_ARG_SRC, 0}, {DNNL_ARG_DST, 1}};
    dnnl_memory_desc_t md = cpu_md(c, g, n->in[0]);
    dnnl_primitive_desc_t pd = NULL;

    return relu_pd(c, &md, &pd, err) ? cpu_primitive_kernel(c, pd, 2, args, 2, err) : NULL;
}

/* y, dy */
static struct kernel *relu_grad_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                       struct error *err)
{
    static const struct cpu_arg args[] = {
        {DNNL_ARG_DST, 0}, {DNNL_ARG_DIFF_DST, 1}, {DNNL_ARG_DIFF_SRC, 2}};
    dnnl_memory_desc_t md = cpu_md(c, g, n->in[0]);
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t hint, pd = NULL;
    dnnl_eltwise_desc_t d;
    bool ok;

    if (!relu_pd(c, &md, &hint, err))
        return NULL;
    attr = cpu_attr();
    ok = cpu_ok(
             dnnl_eltwise_backward_desc_init(&d, dnnl_eltwise_relu_use_dst_for_bwd, &md, &md, 0, 0),
             "relu gradient", err) &&
         cpu_ok(dnnl_primitive_desc_create(&pd, &d, attr, c->engine, hint), "relu gradient", err);
    dnnl_primitive_attr_destroy(attr);
    dnnl_primitive_desc_destroy(hint);
    return ok ? cpu_primitive_kernel(c, pd, 3, args, 3, err) : NULL;
}

const struct cpu_op cpu_eltwise_ops[] = {
    {.op = &op_add, .kernel = add_kernel, .inplace = 1u << 0, .images_only = true},
    {.op = &op_relu, .kernel = relu_kernel, .inplace = 1u << 0, .images_only = true},
    {.op = &op_relu_grad, .kernel = relu_grad_kernel, .inplace = 1u << 1, .images_only = true},
    {.op = NULL},
};
