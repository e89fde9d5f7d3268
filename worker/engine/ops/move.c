#include <inttypes.h>

#include "worker/engine/ops/ops.h"
#include "worker/engine/ops/util.h"

static const struct attr_spec concat_attrs[] = {
    ATTR_I("axis", struct concat_attr, axis, 1),
    ATTR_END,
};
static const struct attr_spec slice_attrs[] = {
    ATTR_I("axis", struct slice_attr, axis, 1),
    ATTR_I("start", struct slice_attr, start, 0),
    ATTR_I("end", struct slice_attr, end, 0),
    ATTR_END,
};
static const struct attr_spec pad_attrs[] = {
    ATTR_I("axis", struct pad_attr, axis, 1),
    ATTR_I("before", struct pad_attr, before, 0),
    ATTR_I("after", struct pad_attr, after, 0),
    ATTR_END,
};
static const struct attr_spec transpose_attrs[] = {
    ATTR_IS("perm", struct transpose_attr, perm, SHAPE_MAX, 0),
    ATTR_END,
};
static const struct attr_spec shuffle_attrs[] = {
    ATTR_I("group", struct shuffle_attr, group, 1),
    ATTR_END,
};

static bool need_axis(struct graph *g, const struct node *n, int64_t axis)
{
    char text[SHAPE_TEXT];

    if (axis >= 0 && axis < in_shape(g, n, 0)->rank)
        return true;
    graph_fail(g, ERR_INVALID, "input 0 has shape %s; it has no axis %" PRId64,
               shape_text(in_shape(g, n, 0), text), axis);
    return false;
}

static void infer_concat(struct graph *g, struct node *n)
{
    int64_t axis = ((const struct concat_attr *)n->attr)->axis;
    struct shape sum = *in_shape(g, n, 0);

    if (!need_axis(g, n, axis))
        return;
    for (int i = 1; i < n->n_in; i++) {
        struct shape want = *in_shape(g, n, 0);

        if (in_shape(g, n, i)->rank == want.rank)
            want.dim[axis] = in_shape(g, n, i)->dim[axis];
        if (!need_shape(g, n, i, &want))
            return;
        sum.dim[axis] += want.dim[axis];
    }
    set_shape(g, n, 0, sum);
}

static void infer_slice(struct graph *g, struct node *n)
{
    const struct slice_attr *a = n->attr;
    struct shape s = *in_shape(g, n, 0);

    if (!need_axis(g, n, a->axis))
        return;
    if (a->start < 0 || a->end <= a->start || a->end > s.dim[a->axis])
        graph_fail(g, ERR_INVALID,
                   "%" PRId64 " up to %" PRId64 " is no part of axis %" PRId64
                   ", which has %" PRId64,
                   a->start, a->end, a->axis, s.dim[a->axis]);
    s.dim[a->axis] = a->end - a->start;
    set_shape(g, n, 0, s);
}

static void infer_pad(struct graph *g, struct node *n)
{
    const struct pad_attr *a = n->attr;
    struct shape s = *in_shape(g, n, 0);

    if (!need_axis(g, n, a->axis))
        return;
    if (a->before < 0 || a->after < 0)
        graph_fail(g, ERR_INVALID, "padding of %" PRId64 " and %" PRId64, a->before, a->after);
    s.dim[a->axis] += a->before + a->after;
    set_shape(g, n, 0, s);
}

static void infer_transpose(struct graph *g, struct node *n)
{
    const struct transpose_attr *a = n->attr;
    const struct shape *x = in_shape(g, n, 0);
    struct shape s = {.rank = x->rank};
    unsigned seen = 0;

    for (int i = 0; i < x->rank; i++) {
        if (!need_axis(g, n, a->perm[i]))
            return;
        seen |= 1u << a->perm[i];
        s.dim[i] = x->dim[a->perm[i]];
    }
    if (seen != (1u << x->rank) - 1)
        graph_fail(g, ERR_INVALID, "perm does not name each of the %d axes once", x->rank);
    set_shape(g, n, 0, s);
}

static void infer_shuffle(struct graph *g, struct node *n)
{
    int64_t group = ((const struct shuffle_attr *)n->attr)->group;

    if (!need_rank(g, n, 0, 4))
        return;
    if (group < 1 || in_shape(g, n, 0)->dim[1] % group)
        graph_fail(g, ERR_INVALID, "%" PRId64 " channels do not make %" PRId64 " groups",
                   in_shape(g, n, 0)->dim[1], group);
    set_shape(g, n, 0, *in_shape(g, n, 0));
}

static void concat_grad(struct graph *g, const struct node *n, const value_id *dout,
                        const bool *need, value_id *din)
{
    int64_t axis = ((const struct concat_attr *)n->attr)->axis, start = 0;

    for (int i = 0; i < n->n_in; i++) {
        int64_t end = start + in_shape(g, n, i)->dim[axis];

        if (need[i])
            din[i] = g_slice(g, dout[0], axis, start, end);
        start = end;
    }
}

static void slice_grad(struct graph *g, const struct node *n, const value_id *dout,
                       const bool *need, value_id *din)
{
    const struct slice_attr *a = n->attr;

    (void)need;
    din[0] = g_pad_axis(g, dout[0], a->axis, a->start, in_shape(g, n, 0)->dim[a->axis] - a->end);
}

static void pad_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                     value_id *din)
{
    const struct pad_attr *a = n->attr;

    (void)need;
    din[0] = g_slice(g, dout[0], a->axis, a->before, a->before + in_shape(g, n, 0)->dim[a->axis]);
}

static void transpose_grad(struct graph *g, const struct node *n, const value_id *dout,
                           const bool *need, value_id *din)
{
    const struct transpose_attr *a = n->attr;
    int64_t back[SHAPE_MAX];

    (void)need;
    for (int i = 0; i < in_shape(g, n, 0)->rank; i++)
        back[a->perm[i]] = i;
    din[0] = g_transpose(g, dout[0], back);
}

/* Undone by a shuffle of as many groups as a group had channels. */
static void shuffle_grad(struct graph *g, const struct node *n, const value_id *dout,
                         const bool *need, value_id *din)
{
    (void)need;
    din[0] = g_channel_shuffle(
        g, dout[0], in_shape(g, n, 0)->dim[1] / ((const struct shuffle_attr *)n->attr)->group);
}

#define MOVE(op_name, most, type, ...)                                                       \
    {                                                                                        \
        .name = op_name, .min_in = 1, .max_in = most, .n_out = 1, .attrs = type##_attrs,     \
        .attr_size = sizeof(struct type##_attr), .infer = infer_##type, .grad = type##_grad, \
        __VA_ARGS__                                                                          \
    }

const struct op_def op_concat = MOVE("Concat", NODE_MAX_IN, concat, );
const struct op_def op_slice = MOVE("Slice", 1, slice, );
const struct op_def op_pad_axis = MOVE("PadAxis", 1, pad, .is_private = true);
const struct op_def op_transpose = MOVE("Transpose", 1, transpose, );
const struct op_def op_channel_shuffle = MOVE("ChannelShuffle", 1, shuffle, .is_private = true);

value_id g_concat(struct graph *g, int64_t axis, const value_id *x, int n)
{
    const struct concat_attr a = {.axis = axis};

    for (int i = 0; i < n; i++)
        if (x[i] < 0)
            return NO_VALUE;
    return graph_add(g, &op_concat, "", x, n, &a);
}

value_id g_slice(struct graph *g, value_id x, int64_t axis, int64_t start, int64_t end)
{
    const struct slice_attr a = {.axis = axis, .start = start, .end = end};

    return node1(g, &op_slice, x, &a);
}

void g_split(struct graph *g, value_id x, int64_t axis, const int64_t *sizes, int n, value_id *out)
{
    int64_t start = 0;

    for (int i = 0; i < n; i++) {
        out[i] = g_slice(g, x, axis, start, start + sizes[i]);
        start += sizes[i];
    }
    if (x >= 0 && axis >= 0 && axis < graph_shape(g, x)->rank &&
        start != graph_shape(g, x)->dim[axis])
        graph_fail(g, ERR_INVALID, "Split into %" PRId64 " of %" PRId64 " along axis %" PRId64,
                   start, graph_shape(g, x)->dim[axis], axis);
}

value_id g_pad_axis(struct graph *g, value_id x, int64_t axis, int64_t before, int64_t after)
{
    const struct pad_attr a = {.axis = axis, .before = before, .after = after};

    return node1(g, &op_pad_axis, x, &a);
}

value_id g_transpose(struct graph *g, value_id x, const int64_t *perm)
{
    struct transpose_attr a = {{0}};

    for (int i = 0; x >= 0 && i < graph_shape(g, x)->rank; i++)
        a.perm[i] = perm[i];
    return node1(g, &op_transpose, x, &a);
}

value_id g_channel_shuffle(struct graph *g, value_id x, int64_t groups)
{
    const struct shuffle_attr a = {.group = groups};

    return node1(g, &op_channel_shuffle, x, &a);
}
