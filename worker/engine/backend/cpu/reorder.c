/* From one layout to another. */
#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/ops/ops.h"

/* Plain grouped weights are described with the dimensions of the other side, which has the group. */
static dnnl_memory_desc_t side(struct cpu *c, const struct graph *g, value_id v, value_id other)
{
    dnnl_memory_desc_t md = cpu_md(c, g, v), there = cpu_md(c, g, other);

    return g->values.at[v].layout == LAYOUT_PLAIN ? cpu_plain_like(&there) : md;
}

static struct kernel *reorder_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                     struct error *err)
{
    static const struct cpu_arg args[] = {{DNNL_ARG_FROM, 0}, {DNNL_ARG_TO, 1}};
    dnnl_memory_desc_t from = side(c, g, n->in[0], n->out[0]), to = side(c, g, n->out[0], n->in[0]);
    dnnl_primitive_attr_t attr = cpu_attr();
    dnnl_primitive_desc_t pd;
    bool ok =
        cpu_ok(dnnl_reorder_primitive_desc_create(&pd, &from, c->engine, &to, c->engine, attr),
               "reorder", err);

    dnnl_primitive_attr_destroy(attr);
    return ok ? cpu_primitive_kernel(c, pd, 2, args, 2, err) : NULL;
}

const struct cpu_op cpu_reorder_ops[] = {
    {.op = &op_reorder, .kernel = reorder_kernel},
    {.op = NULL},
};
