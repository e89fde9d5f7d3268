#include <inttypes.h>

#include "worker/engine/ops/ops.h"
#include "worker/engine/ops/util.h"

static bool is_bytes(const struct graph *g, value_id v)
{
    return g->values.at[v].dtype == DT_U8 || g->values.at[v].dtype == DT_S8;
}

static bool need_bytes(struct graph *g, const struct node *n, int i)
{
    if (is_bytes(g, n->in[i]))
        return true;
    graph_fail(g, ERR_INVALID, "input %d is %s; expected u8 or s8", i,
               dtype_name(g->values.at[n->in[i]].dtype));
    return false;
}

static const struct attr_spec quantise_attrs[] = {
    ATTR_I("signed", struct quantise_attr, is_signed, 0),
    ATTR_I("axis", struct quantise_attr, axis, 1),
    ATTR_END,
};

static void infer_quantise(struct graph *g, struct node *n)
{
    const struct quantise_attr *a = n->attr;
    struct shape s = *in_shape(g, n, 0), along;

    if (a->axis < 0 || a->axis >= s.rank) {
        graph_fail(g, ERR_INVALID, "%d dimensions have no axis %" PRId64, s.rank, a->axis);
        return;
    }
    along = shape1(s.dim[a->axis]);
    if (!need_shape(g, n, 1, &along) || !need_shape(g, n, 2, &along))
        return;
    set_shape(g, n, 0, s);
    set_dtype(g, n, 0, a->is_signed ? DT_S8 : DT_U8);
}

const struct op_def op_quantise = {
    .name = "Quantise",
    .is_private = true,
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .attrs = quantise_attrs,
    .attr_size = sizeof(struct quantise_attr),
    .infer = infer_quantise,
};

static const struct attr_spec dequantise_attrs[] = {
    ATTR_F("scale", struct dequantise_attr, scale, 1),
    ATTR_END,
};

static void infer_dequantise(struct graph *g, struct node *n)
{
    if (need_bytes(g, n, 0))
        set_shape(g, n, 0, *in_shape(g, n, 0));
}

const struct op_def op_dequantise = {
    .name = "Dequantise",
    .is_private = true,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = dequantise_attrs,
    .attr_size = sizeof(struct dequantise_attr),
    .infer = infer_dequantise,
};

static const struct attr_spec quant_conv_attrs[] = {
    ATTR_IS("strides", struct quant_conv_attr, conv.strides, 2, 1),
    ATTR_IS("pads", struct quant_conv_attr, conv.pads, 4, 0),
    ATTR_I("group", struct quant_conv_attr, conv.group, 1),
    ATTR_I("relu", struct quant_conv_attr, conv.relu, 0),
    ATTR_F("residual", struct quant_conv_attr, residual, 1),
    ATTR_I("to", struct quant_conv_attr, to, DT_REAL),
    ATTR_END,
};

static void infer_quant_conv(struct graph *g, struct node *n)
{
    const struct quant_conv_attr *a = n->attr;
    struct shape y, channels;

    if (!need_bytes(g, n, 0) || !need_bytes(g, n, 1) || !conv_shape(g, n, &a->conv, &y))
        return;
    channels = shape1(y.dim[1]);
    if (!need_shape(g, n, 2, &channels) || !need_shape(g, n, 3, &channels) ||
        (n->n_in > 4 && !need_shape(g, n, 4, &y)))
        return;
    if (n->n_in > 4 && is_bytes(g, n->in[4]) != (a->to != DT_REAL)) {
        graph_fail(g, ERR_INVALID, "a residual of %s cannot be added to %s",
                   dtype_name(g->values.at[n->in[4]].dtype), dtype_name((enum dtype)a->to));
        return;
    }
    set_shape(g, n, 0, y);
    set_dtype(g, n, 0, (enum dtype)a->to);
}

static double quant_conv_flops(const struct graph *g, const struct node *n)
{
    return op_conv.flops(g, n);
}

const struct op_def op_quant_conv = {
    .name = "QuantConv",
    .is_private = true,
    .min_in = 4,
    .max_in = 5,
    .n_out = 1,
    .attrs = quant_conv_attrs,
    .attr_size = sizeof(struct quant_conv_attr),
    .infer = infer_quant_conv,
    .flops = quant_conv_flops,
};

static void infer_abs_max(struct graph *g, struct node *n)
{
    if (in_shape(g, n, 0)->rank < 1)
        graph_fail(g, ERR_INVALID, "a scalar has no samples");
    else
        set_shape(g, n, 0, shape1(in_shape(g, n, 0)->dim[0]));
}

const struct op_def op_abs_max = {
    .name = "AbsMax",
    .is_private = true,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .infer = infer_abs_max,
};
