#include <inttypes.h>

#include "worker/engine/ops/ops.h"
#include "worker/engine/ops/util.h"

static const struct attr_spec conv_attrs[] = {
    ATTR_IS("strides", struct conv_attr, strides, 2, 1),
    ATTR_IS("pads", struct conv_attr, pads, 4, 0),
    ATTR_I("group", struct conv_attr, group, 1),
    ATTR_IS("input", struct conv_attr, input, 2, 0),
    ATTR_IS("kernel", struct conv_attr, kernel, 2, 0),
    ATTR_I("relu", struct conv_attr, relu, 0),
    ATTR_END,
};

/* Output pixels along one axis. */
static int64_t extent(const struct conv_attr *a, int axis, int64_t in, int64_t kernel)
{
    return (in + a->pads[axis] + a->pads[axis + 2] - kernel) / a->strides[axis] + 1;
}

bool conv_shape(struct graph *g, const struct node *n, const struct conv_attr *a, struct shape *y)
{
    const struct shape *x = in_shape(g, n, 0), *w = in_shape(g, n, 1);

    if (!need_rank(g, n, 0, 4) || !need_rank(g, n, 1, 4))
        return false;
    if (a->group < 1 || x->dim[1] != w->dim[1] * a->group || w->dim[0] % a->group) {
        graph_fail(g, ERR_INVALID,
                   "%" PRId64 " input channels do not fit weights for %" PRId64 " in %" PRId64
                   " groups",
                   x->dim[1], w->dim[1], a->group);
        return false;
    }
    *y = shape4(x->dim[0], w->dim[0], extent(a, 0, x->dim[2], w->dim[2]),
                extent(a, 1, x->dim[3], w->dim[3]));
    if (y->dim[2] < 1 || y->dim[3] < 1) {
        graph_fail(g, ERR_INVALID, "the kernel is larger than the padded input");
        return false;
    }
    return true;
}

static void infer_conv(struct graph *g, struct node *n)
{
    struct shape y, bias;

    if (!conv_shape(g, n, n->attr, &y))
        return;
    bias = shape1(y.dim[1]);
    if ((n->n_in > 2 && !need_shape(g, n, 2, &bias)) || (n->n_in > 3 && !need_shape(g, n, 3, &y)))
        return;
    set_shape(g, n, 0, y);
}

static void infer_input_grad(struct graph *g, struct node *n)
{
    const struct conv_attr *a = n->attr;
    const struct shape *w = in_shape(g, n, 0), *dy = in_shape(g, n, 1);

    set_shape(g, n, 0, shape4(dy->dim[0], w->dim[1] * a->group, a->input[0], a->input[1]));
}

static void infer_weight_grad(struct graph *g, struct node *n)
{
    const struct conv_attr *a = n->attr;
    const struct shape *x = in_shape(g, n, 0), *dy = in_shape(g, n, 1);

    set_shape(g, n, 0, shape4(dy->dim[1], x->dim[1] / a->group, a->kernel[0], a->kernel[1]));
}

static void conv_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                      value_id *din)
{
    struct conv_attr a = *(const struct conv_attr *)n->attr;

    for (int i = 0; i < 2; i++) {
        a.input[i] = in_shape(g, n, 0)->dim[2 + i];
        a.kernel[i] = in_shape(g, n, 1)->dim[2 + i];
    }
    if (need[1])
        din[1] = node2(g, &op_conv_weight_grad, n->in[0], dout[0], &a);
    if (n->n_in > 2 && need[2])
        din[2] = g_channel_sum(g, dout[0]);
    if (need[0])
        din[0] = node2(g, &op_conv_input_grad, n->in[1], dout[0], &a);
}

/* Every output pixel is a product of one output channel's weights with what lies under them. */
static double count_flops(const struct graph *g, value_id w, value_id y)
{
    const struct shape *ws = graph_shape(g, w);

    return 2 * (double)shape_count(graph_shape(g, y)) * (double)(shape_count(ws) / ws->dim[0]);
}

static double forward_flops(const struct graph *g, const struct node *n)
{
    return count_flops(g, n->in[1], n->out[0]);
}

static double input_grad_flops(const struct graph *g, const struct node *n)
{
    return count_flops(g, n->in[0], n->in[1]);
}

static double weight_grad_flops(const struct graph *g, const struct node *n)
{
    return count_flops(g, n->out[0], n->in[1]);
}

const struct op_def op_conv = {
    .name = "Conv",
    .min_in = 2,
    .max_in = 3,
    .n_out = 1,
    .attrs = conv_attrs,
    .attr_size = sizeof(struct conv_attr),
    .infer = infer_conv,
    .flops = forward_flops,
    .grad = conv_grad,
};

const struct op_def op_fused_conv = {
    .name = "FusedConv",
    .is_private = true,
    .min_in = 3,
    .max_in = 4,
    .n_out = 1,
    .attrs = conv_attrs,
    .attr_size = sizeof(struct conv_attr),
    .infer = infer_conv,
    .flops = forward_flops,
};

const struct op_def op_conv_input_grad = {
    .name = "ConvInputGrad",
    .is_private = true,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .attrs = conv_attrs,
    .attr_size = sizeof(struct conv_attr),
    .infer = infer_input_grad,
    .flops = input_grad_flops,
};

const struct op_def op_conv_weight_grad = {
    .name = "ConvWeightGrad",
    .is_private = true,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .attrs = conv_attrs,
    .attr_size = sizeof(struct conv_attr),
    .infer = infer_weight_grad,
    .flops = weight_grad_flops,
};

value_id g_conv(struct graph *g, const char *name, value_id x, value_id w, value_id bias,
                int64_t stride, int64_t pad, int64_t group)
{
    const struct conv_attr a = {
        .strides = {stride, stride}, .pads = {pad, pad, pad, pad}, .group = group};

    if (x < 0 || w < 0)
        return NO_VALUE;
    return graph_add(g, &op_conv, name, (value_id[]){x, w, bias}, bias < 0 ? 2 : 3, &a);
}
