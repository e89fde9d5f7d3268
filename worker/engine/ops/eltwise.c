#include "worker/engine/ops/ops.h"
#include "worker/engine/ops/util.h"

static const struct attr_spec affine_attrs[] = {
    ATTR_F("alpha", struct affine_attr, alpha, 1),
    ATTR_F("beta", struct affine_attr, beta, 0),
    ATTR_END,
};

static const struct attr_spec clip_attrs[] = {
    ATTR_F("min", struct clip_attr, min, 0),
    ATTR_F("max", struct clip_attr, max, 0),
    ATTR_END,
};

/* All operands alike; so are all results. */
static void infer_same(struct graph *g, struct node *n)
{
    for (int i = 1; i < n->n_in; i++)
        if (!need_shape(g, n, i, in_shape(g, n, 0)))
            return;
    for (int k = 0; k < n->n_out; k++)
        set_shape(g, n, k, *in_shape(g, n, 0));
}

static void add_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                     value_id *din)
{
    (void)g;
    (void)n;
    din[0] = need[0] ? dout[0] : NO_VALUE;
    din[1] = need[1] ? dout[0] : NO_VALUE;
}

static void sub_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                     value_id *din)
{
    (void)n;
    din[0] = need[0] ? dout[0] : NO_VALUE;
    if (need[1])
        din[1] = g_scale(g, dout[0], -1);
}

static void mul_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                     value_id *din)
{
    if (need[0])
        din[0] = g_mul(g, dout[0], n->in[1]);
    if (need[1])
        din[1] = g_mul(g, dout[0], n->in[0]);
}

/* y = a / b: da = dy / b, db = -y dy / b. */
static void div_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                     value_id *din)
{
    value_id da = g_div(g, dout[0], n->in[1]);

    if (need[0])
        din[0] = da;
    if (need[1])
        din[1] = g_scale(g, g_mul(g, da, n->out[0]), -1);
}

static void exp_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                     value_id *din)
{
    (void)need;
    din[0] = g_mul(g, dout[0], n->out[0]);
}

static void log_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                     value_id *din)
{
    (void)need;
    din[0] = g_div(g, dout[0], n->in[0]);
}

/* y = sqrt(x): dx = dy / 2y. */
static void sqrt_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                      value_id *din)
{
    (void)need;
    din[0] = g_scale(g, g_div(g, dout[0], n->out[0]), 0.5);
}

static void relu_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                      value_id *din)
{
    (void)need;
    din[0] = node2(g, &op_relu_grad, n->out[0], dout[0], NULL);
}

static void infer_clip(struct graph *g, struct node *n)
{
    const struct clip_attr *a = n->attr;

    if (!(a->min <= a->max))
        graph_fail(g, ERR_INVALID, "min %g is above max %g", a->min, a->max);
    infer_same(g, n);
}

static void clip_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                      value_id *din)
{
    (void)need;
    din[0] = node2(g, &op_clip_grad, n->out[0], dout[0], n->attr);
}

static void sigmoid_grad(struct graph *g, const struct node *n, const value_id *dout,
                         const bool *need, value_id *din)
{
    (void)need;
    din[0] = node2(g, &op_sigmoid_grad, n->out[0], dout[0], NULL);
}

static void affine_grad(struct graph *g, const struct node *n, const value_id *dout,
                        const bool *need, value_id *din)
{
    (void)need;
    din[0] = g_scale(g, dout[0], ((const struct affine_attr *)n->attr)->alpha);
}

static void max_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                     value_id *din)
{
    value_id da = node3(g, &op_max_grad, n->in[0], n->in[1], dout[0], NULL);

    if (need[0])
        din[0] = da;
    if (need[1])
        din[1] = graph_out(g, da, 1);
}

#define ELTWISE(op_name, inputs, ...)                                                         \
    {                                                                                         \
        .name = op_name, .min_in = inputs, .max_in = inputs, .n_out = 1, .infer = infer_same, \
        __VA_ARGS__                                                                           \
    }

const struct op_def op_add = ELTWISE("Add", 2, .grad = add_grad);
const struct op_def op_sub = ELTWISE("Sub", 2, .grad = sub_grad);
const struct op_def op_mul = ELTWISE("Mul", 2, .grad = mul_grad);
const struct op_def op_div = ELTWISE("Div", 2, .grad = div_grad);
const struct op_def op_exp = ELTWISE("Exp", 1, .grad = exp_grad);
const struct op_def op_log = ELTWISE("Log", 1, .grad = log_grad);
const struct op_def op_sqrt = ELTWISE("Sqrt", 1, .grad = sqrt_grad);
const struct op_def op_sigmoid = ELTWISE("Sigmoid", 1, .grad = sigmoid_grad);
const struct op_def op_sigmoid_grad = ELTWISE("SigmoidGrad", 2, .is_private = true);
const struct op_def op_relu = ELTWISE("Relu", 1, .grad = relu_grad);
const struct op_def op_max = ELTWISE("Max", 2, .grad = max_grad);
const struct op_def op_relu_grad = ELTWISE("ReluGrad", 2, .is_private = true);
const struct op_def op_affine =
    ELTWISE("Affine", 1, .is_private = true, .attrs = affine_attrs,
            .attr_size = sizeof(struct affine_attr), .grad = affine_grad);
const struct op_def op_clip = {
    .name = "Clip",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = clip_attrs,
    .attr_size = sizeof(struct clip_attr),
    .infer = infer_clip,
    .grad = clip_grad,
};
const struct op_def op_clip_grad = ELTWISE("ClipGrad", 2, .is_private = true, .attrs = clip_attrs,
                                           .attr_size = sizeof(struct clip_attr));
const struct op_def op_max_grad = {
    .name = "MaxGrad",
    .is_private = true,
    .min_in = 3,
    .max_in = 3,
    .n_out = 2,
    .infer = infer_same,
};

value_id g_add(struct graph *g, value_id a, value_id b)
{
    return node2(g, &op_add, a, b, NULL);
}

value_id g_sub(struct graph *g, value_id a, value_id b)
{
    return node2(g, &op_sub, a, b, NULL);
}

value_id g_mul(struct graph *g, value_id a, value_id b)
{
    return node2(g, &op_mul, a, b, NULL);
}

value_id g_div(struct graph *g, value_id a, value_id b)
{
    return node2(g, &op_div, a, b, NULL);
}

value_id g_max(struct graph *g, value_id a, value_id b)
{
    return node2(g, &op_max, a, b, NULL);
}

value_id g_exp(struct graph *g, value_id x)
{
    return node1(g, &op_exp, x, NULL);
}

value_id g_log(struct graph *g, value_id x)
{
    return node1(g, &op_log, x, NULL);
}

value_id g_sqrt(struct graph *g, value_id x)
{
    return node1(g, &op_sqrt, x, NULL);
}

value_id g_sigmoid(struct graph *g, value_id x)
{
    return node1(g, &op_sigmoid, x, NULL);
}

value_id g_clip(struct graph *g, value_id x, double min, double max)
{
    const struct clip_attr a = {.min = min, .max = max};

    return node1(g, &op_clip, x, &a);
}

value_id g_relu(struct graph *g, value_id x)
{
    return node1(g, &op_relu, x, NULL);
}

value_id g_affine(struct graph *g, double alpha, value_id x, double beta)
{
    const struct affine_attr a = {.alpha = alpha, .beta = beta};

    return node1(g, &op_affine, x, &a);
}

value_id g_scale(struct graph *g, value_id x, double alpha)
{
    return g_affine(g, alpha, x, 0);
}
