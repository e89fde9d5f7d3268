#include "worker/engine/ops/ops.h"
#include "worker/engine/ops/util.h"

static const struct attr_spec pick_grad_attrs[] = {
    ATTR_I("classes", struct pick_grad_attr, classes, 0),
    ATTR_END,
};

static const struct attr_spec put_attrs[] = {
    ATTR_F("value", struct put_attr, value, 0),
    ATTR_END,
};

static bool need_index(struct graph *g, const struct node *n, int i)
{
    if (g->values.at[n->in[i]].dtype == DT_INDEX)
        return need_rank(g, n, i, 1);
    graph_fail(g, ERR_INVALID, "input %d must be whole numbers", i);
    return false;
}

static void infer_gather(struct graph *g, struct node *n)
{
    if (need_rank(g, n, 0, 2) && need_index(g, n, 1))
        set_shape(g, n, 0, shape2(in_shape(g, n, 1)->dim[0], in_shape(g, n, 0)->dim[1]));
}

static void infer_pick(struct graph *g, struct node *n)
{
    struct shape rows;

    if (!need_rank(g, n, 0, 2) || !need_index(g, n, 1))
        return;
    rows = shape1(in_shape(g, n, 0)->dim[0]);
    if (need_shape(g, n, 1, &rows))
        set_shape(g, n, 0, rows);
}

static void infer_pick_grad(struct graph *g, struct node *n)
{
    set_shape(g, n, 0,
              shape2(in_shape(g, n, 0)->dim[0], ((struct pick_grad_attr *)n->attr)->classes));
}

static void pick_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                      value_id *din)
{
    const struct pick_grad_attr a = {.classes = in_shape(g, n, 0)->dim[1]};

    (void)need;
    din[0] = node2(g, &op_pick_grad, n->in[1], dout[0], &a);
}

static void infer_put(struct graph *g, struct node *n)
{
    struct shape rows;

    if (!need_rank(g, n, 0, 2) || !need_index(g, n, 1))
        return;
    rows = shape1(in_shape(g, n, 0)->dim[0]);
    if (need_shape(g, n, 1, &rows))
        set_shape(g, n, 0, *in_shape(g, n, 0));
}

static void put_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                     value_id *din)
{
    (void)need;
    din[0] = g_put(g, dout[0], n->in[1], 0);
}

const struct op_def op_gather = {
    .name = "Gather",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .infer = infer_gather,
};

const struct op_def op_pick = {
    .name = "Pick",
    .is_private = true,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .infer = infer_pick,
    .grad = pick_grad,
};

const struct op_def op_pick_grad = {
    .name = "PickGrad",
    .is_private = true,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .attrs = pick_grad_attrs,
    .attr_size = sizeof(struct pick_grad_attr),
    .infer = infer_pick_grad,
};

const struct op_def op_put = {
    .name = "Put",
    .is_private = true,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .attrs = put_attrs,
    .attr_size = sizeof(struct put_attr),
    .infer = infer_put,
    .grad = put_grad,
};

value_id g_gather(struct graph *g, value_id table, value_id index)
{
    return node2(g, &op_gather, table, index, NULL);
}

value_id g_pick(struct graph *g, value_id x, value_id index)
{
    return node2(g, &op_pick, x, index, NULL);
}

value_id g_put(struct graph *g, value_id x, value_id index, double value)
{
    const struct put_attr a = {.value = value};

    return node2(g, &op_put, x, index, &a);
}
