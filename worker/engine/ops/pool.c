#include "worker/engine/ops/ops.h"
#include "worker/engine/ops/util.h"

static const struct attr_spec pool_grad_attrs[] = {
    ATTR_IS("input", struct pool_grad_attr, input, 2, 1),
    ATTR_END,
};

static void infer_global(struct graph *g, struct node *n)
{
    if (need_rank(g, n, 0, 4))
        set_shape(g, n, 0, shape4(in_shape(g, n, 0)->dim[0], in_shape(g, n, 0)->dim[1], 1, 1));
}

static void infer_global_grad(struct graph *g, struct node *n)
{
    const struct pool_grad_attr *a = n->attr;
    const struct shape *dy = in_shape(g, n, 0);

    set_shape(g, n, 0, shape4(dy->dim[0], dy->dim[1], a->input[0], a->input[1]));
}

static void global_grad(struct graph *g, const struct node *n, const value_id *dout,
                        const bool *need, value_id *din)
{
    const struct shape *x = in_shape(g, n, 0);
    const struct pool_grad_attr a = {.input = {x->dim[2], x->dim[3]}};

    (void)need;
    din[0] = node1(g, &op_global_average_pool_grad, dout[0], &a);
}

const struct op_def op_global_average_pool = {
    .name = "GlobalAveragePool",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .infer = infer_global,
    .grad = global_grad,
};

const struct op_def op_global_average_pool_grad = {
    .name = "GlobalAveragePoolGrad",
    .is_private = true,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = pool_grad_attrs,
    .attr_size = sizeof(struct pool_grad_attr),
    .infer = infer_global_grad,
};

value_id g_global_average_pool(struct graph *g, value_id x)
{
    return node1(g, &op_global_average_pool, x, NULL);
}
