#include <inttypes.h>

#include "worker/engine/ops/ops.h"
#include "worker/engine/ops/util.h"

static const struct attr_spec view_attrs[] = {
    ATTR_I("rank", struct view_attr, rank, 0),
    ATTR_IS("dims", struct view_attr, dims, SHAPE_MAX, 0),
    ATTR_END,
};

static void infer_flatten(struct graph *g, struct node *n)
{
    const struct shape *x = in_shape(g, n, 0);

    if (need_rank(g, n, 0, 4))
        set_shape(g, n, 0, shape2(x->dim[0], x->dim[1] * x->dim[2] * x->dim[3]));
}

static void infer_view(struct graph *g, struct node *n)
{
    const struct view_attr *a = n->attr;
    struct shape s = {.rank = (int)a->rank};

    for (int i = 0; i < s.rank; i++)
        s.dim[i] = a->dims[i];
    if (shape_count(&s) != shape_count(in_shape(g, n, 0)))
        graph_fail(g, ERR_INVALID, "%" PRId64 " elements do not fit", shape_count(&s));
    set_shape(g, n, 0, s);
}

static void view_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                      value_id *din)
{
    (void)need;
    din[0] = g_view(g, dout[0], *in_shape(g, n, 0));
}

const struct op_def op_flatten = {
    .name = "Flatten",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .infer = infer_flatten,
    .grad = view_grad,
};

const struct op_def op_view = {
    .name = "View",
    .is_private = true,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = view_attrs,
    .attr_size = sizeof(struct view_attr),
    .infer = infer_view,
    .grad = view_grad,
};

value_id g_flatten(struct graph *g, value_id x)
{
    return node1(g, &op_flatten, x, NULL);
}

value_id g_view(struct graph *g, value_id x, struct shape s)
{
    struct view_attr a = {.rank = s.rank};

    for (int i = 0; i < s.rank; i++)
        a.dims[i] = s.dim[i];
    return node1(g, &op_view, x, &a);
}
