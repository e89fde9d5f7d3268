#include "worker/engine/ops/ops.h"
#include "worker/engine/ops/util.h"

static const struct attr_spec axis_attrs[] = {
    ATTR_I("axis", struct axis_attr, axis, 1),
    ATTR_I("size", struct axis_attr, size, 0),
    ATTR_END,
};

static void infer_sum(struct graph *g, struct node *n)
{
    const struct axis_attr *a = n->attr;

    if (need_rank(g, n, 0, 2))
        set_shape(g, n, 0, shape1(in_shape(g, n, 0)->dim[1 - a->axis]));
}

static void infer_rows(struct graph *g, struct node *n)
{
    if (need_rank(g, n, 0, 2))
        set_shape(g, n, 0, shape1(in_shape(g, n, 0)->dim[0]));
}

static void infer_like_first(struct graph *g, struct node *n)
{
    set_shape(g, n, 0, *in_shape(g, n, 0));
}

static void infer_expand(struct graph *g, struct node *n)
{
    const struct axis_attr *a = n->attr;
    int64_t kept = in_shape(g, n, 0)->dim[0];

    set_shape(g, n, 0, a->axis == 1 ? shape2(kept, a->size) : shape2(a->size, kept));
}

static void infer_channel_sum(struct graph *g, struct node *n)
{
    if (need_rank(g, n, 0, 4))
        set_shape(g, n, 0, shape1(in_shape(g, n, 0)->dim[1]));
}

static void sum_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                     value_id *din)
{
    struct axis_attr a = *(const struct axis_attr *)n->attr;

    (void)need;
    a.size = in_shape(g, n, 0)->dim[a.axis];
    din[0] = node1(g, &op_expand, dout[0], &a);
}

static void l2_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                    value_id *din)
{
    (void)need;
    din[0] = node3(g, &op_reduce_l2_grad, n->in[0], n->out[0], dout[0], NULL);
}

static void expand_grad(struct graph *g, const struct node *n, const value_id *dout,
                        const bool *need, value_id *din)
{
    (void)need;
    din[0] = node1(g, &op_reduce_sum, dout[0], n->attr);
}

const struct op_def op_reduce_sum = {
    .name = "ReduceSum",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = axis_attrs,
    .attr_size = sizeof(struct axis_attr),
    .infer = infer_sum,
    .grad = sum_grad,
};

const struct op_def op_reduce_l2 = {
    .name = "ReduceL2",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .infer = infer_rows,
    .grad = l2_grad,
};

const struct op_def op_reduce_l2_grad = {
    .name = "ReduceL2Grad",
    .is_private = true,
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .infer = infer_like_first,
};

const struct op_def op_expand = {
    .name = "Expand",
    .is_private = true,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = axis_attrs,
    .attr_size = sizeof(struct axis_attr),
    .infer = infer_expand,
    .grad = expand_grad,
};

const struct op_def op_channel_sum = {
    .name = "ChannelSum",
    .is_private = true,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .infer = infer_channel_sum,
};

value_id g_row_sum(struct graph *g, value_id x)
{
    return node1(g, &op_reduce_sum, x, NULL);
}

value_id g_column_sum(struct graph *g, value_id x)
{
    const struct axis_attr a = {.axis = 0};

    return node1(g, &op_reduce_sum, x, &a);
}

value_id g_row_norm(struct graph *g, value_id x)
{
    return node1(g, &op_reduce_l2, x, NULL);
}

value_id g_channel_sum(struct graph *g, value_id x)
{
    return node1(g, &op_channel_sum, x, NULL);
}

value_id g_sample_mean(struct graph *g, value_id x)
{
    value_id rows = g_flatten(g, x);

    return rows < 0 ? NO_VALUE
                    : g_scale(g, g_row_sum(g, rows), 1 / (double)graph_shape(g, rows)->dim[1]);
}
