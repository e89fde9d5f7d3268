#include <inttypes.h>

#include "worker/engine/ops/ops.h"
#include "worker/engine/ops/util.h"

static const struct attr_spec shape_attrs[] = {
    ATTR_IS("dims", struct shape_attr, dims, SHAPE_MAX, 0),
    ATTR_END,
};

static struct shape target(const struct graph *g, const struct node *n)
{
    const struct shape_attr *a = n->attr;
    struct shape s = {.rank = in_shape(g, n, 0)->rank};

    for (int i = 0; i < s.rank; i++)
        s.dim[i] = a->dims[i];
    return s;
}

/* Each dimension of `small` is that of `big`, or 1. */
static void infer_between(struct graph *g, struct node *n, const struct shape *small,
                          const struct shape *big)
{
    char from[SHAPE_TEXT], to[SHAPE_TEXT];

    for (int i = 0; i < small->rank; i++)
        if (big->dim[i] < 1 || (small->dim[i] != 1 && small->dim[i] != big->dim[i])) {
            graph_fail(g, ERR_INVALID, "%s is not %s with dimensions of 1", shape_text(small, from),
                       shape_text(big, to));
            return;
        }
    set_shape(g, n, 0, target(g, n));
}

static void infer_broadcast(struct graph *g, struct node *n)
{
    struct shape to = target(g, n);

    infer_between(g, n, in_shape(g, n, 0), &to);
}

static void infer_sum_to(struct graph *g, struct node *n)
{
    struct shape to = target(g, n);

    infer_between(g, n, &to, in_shape(g, n, 0));
}

static void broadcast_grad(struct graph *g, const struct node *n, const value_id *dout,
                           const bool *need, value_id *din)
{
    (void)need;
    din[0] = g_sum_to(g, dout[0], *in_shape(g, n, 0));
}

static void sum_to_grad(struct graph *g, const struct node *n, const value_id *dout,
                        const bool *need, value_id *din)
{
    (void)need;
    din[0] = g_broadcast(g, dout[0], *in_shape(g, n, 0));
}

const struct op_def op_broadcast = {
    .name = "Broadcast",
    .is_private = true,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = shape_attrs,
    .attr_size = sizeof(struct shape_attr),
    .infer = infer_broadcast,
    .grad = broadcast_grad,
};

const struct op_def op_sum_to = {
    .name = "SumTo",
    .is_private = true,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = shape_attrs,
    .attr_size = sizeof(struct shape_attr),
    .infer = infer_sum_to,
    .grad = sum_to_grad,
};

static value_id reshape(struct graph *g, const struct op_def *op, value_id x,
                        const struct shape *to)
{
    struct shape_attr a = {{0}};
    char got[SHAPE_TEXT], wanted[SHAPE_TEXT];

    if (x < 0 || shape_equal(graph_shape(g, x), to))
        return x;
    if (graph_shape(g, x)->rank != to->rank)
        return graph_fail(g, ERR_INVALID, "%s of %s to %s: the ranks differ", op->name,
                          shape_text(graph_shape(g, x), got), shape_text(to, wanted));
    for (int i = 0; i < to->rank; i++)
        a.dims[i] = to->dim[i];
    return node1(g, op, x, &a);
}

value_id g_broadcast(struct graph *g, value_id x, struct shape to)
{
    return reshape(g, &op_broadcast, x, &to);
}

value_id g_sum_to(struct graph *g, value_id x, struct shape to)
{
    return reshape(g, &op_sum_to, x, &to);
}
