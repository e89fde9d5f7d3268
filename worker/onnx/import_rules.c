/* One row an operator of ONNX. A rule checks what its node asks for and appends ours. */
#include <float.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "worker/engine/ops/ops.h"
#include "worker/onnx/replay.h"

static const int64_t max_pixels = 4096; /* of kernels, strides and pads */

static bool no_auto_pad(struct replay *r, const Onnx__Node *n)
{
    const Onnx__Attribute *a = attribute(n, "auto_pad");

    if (!a || !a->s.len || (a->s.len == 6 && memcmp(a->s.data, "NOTSET", 6) == 0))
        return true;
    graph_fail(r->g, ERR_UNSUPPORTED, "auto_pad is %.*s; only explicit pads are known here",
               a->s.len < 32 ? (int)a->s.len : 32, (const char *)a->s.data);
    return false;
}

/* What Conv and pools have in common. */
static bool sliding(struct replay *r, const Onnx__Node *n, int64_t strides[2], int64_t pads[4])
{
    int64_t dilations[2];

    return no_auto_pad(r, n) && attribute_ints(r, n, "strides", strides, 2, 1, 1, max_pixels) &&
           attribute_ints(r, n, "pads", pads, 4, 0, 0, max_pixels) &&
           attribute_ints(r, n, "dilations", dilations, 2, 1, 1, 1);
}

static void conv(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    struct conv_attr a = {.group = attribute_int(n, "group", 1)};
    const struct st_tensor *w = input_tensor(r, n, 1);
    value_id in[3] = {input_value(r, n, 0), input_param(r, n, 1, ROLE_CONV_WEIGHT), NO_VALUE};
    bool bias = node_has(n, 2);

    if (bias)
        in[2] = input_param(r, n, 2, ROLE_BIAS);
    if (!sliding(r, n, a.strides, a.pads) || in[1] == NO_VALUE)
        return;
    for (size_t i = 0; attribute(n, "kernel_shape") && i < 2; i++)
        if (w->rank != 4 || attribute(n, "kernel_shape")->n_ints != 2 ||
            attribute(n, "kernel_shape")->ints[i] != w->shape[2 + i]) {
            graph_fail(r->g, ERR_DATA, "kernel_shape is not that of the weights");
            return;
        }
    set_output(r, n, 0, graph_add(r->g, rule->def, "", in, bias ? 3 : 2, &a));
}

static bool covers(const struct window_attr *a, const struct shape *x)
{
    return x->rank == 4 && a->kernel_shape[0] == x->dim[2] && a->kernel_shape[1] == x->dim[3] &&
           !a->pads[0] && !a->pads[1] && !a->pads[2] && !a->pads[3];
}

/* With ceil_mode a last window may hang over the edge; here the windows must come out even. */
static bool even(struct replay *r, const Onnx__Node *n, const struct window_attr *a,
                 const struct shape *x)
{
    for (int i = 0; attribute_int(n, "ceil_mode", 0) && x->rank == 4 && i < 2; i++)
        if ((x->dim[2 + i] + a->pads[i] + a->pads[i + 2] - a->kernel_shape[i]) % a->strides[i]) {
            graph_fail(r->g, ERR_UNSUPPORTED,
                       "ceil_mode with windows that hang over the edge is not known here");
            return false;
        }
    return true;
}

static void pool(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    struct window_attr a = {.count_include_pad = attribute_int(n, "count_include_pad", 0) != 0};
    value_id x = input_value(r, n, 0);

    if (x == NO_VALUE || !sliding(r, n, a.strides, a.pads) ||
        !attribute_ints(r, n, "kernel_shape", a.kernel_shape, 2, 0, 1, max_pixels) ||
        !attribute_is(r, n, "storage_order", 0, 0) || !even(r, n, &a, graph_shape(r->g, x)))
        return;
    if (rule->def == &op_average_pool && covers(&a, graph_shape(r->g, x)))
        set_output(r, n, 0, g_global_average_pool(r->g, x));
    else
        set_output(r, n, 0, graph_add(r->g, rule->def, "", &x, 1, &a));
}

static void reduce_mean(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    value_id x = input_value(r, n, 0);
    int64_t axes[2];

    (void)rule;
    if (x == NO_VALUE || !attribute_ints(r, n, "axes", axes, 2, 0, -4, 3))
        return;
    if ((axes[0] & 3) != 2 || (axes[1] & 3) != 3 || graph_shape(r->g, x)->rank != 4) {
        graph_fail(r->g, ERR_UNSUPPORTED, "only the mean over height and width is known here");
        return;
    }
    x = g_global_average_pool(r->g, x);
    set_output(r, n, 0, attribute_int(n, "keepdims", 1) ? x : g_flatten(r->g, x));
}

/* alpha op(a) op(b) + beta c, with alpha = beta = 1 and weights of the file. */
static void gemm(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    struct gemm_attr a = {.trans_b = attribute_int(n, "transB", 0) != 0};
    value_id in[3] = {input_value(r, n, 0), input_param(r, n, 1, ROLE_LINEAR_WEIGHT), NO_VALUE};
    bool bias = node_has(n, 2);

    if (bias)
        in[2] = input_param(r, n, 2, ROLE_BIAS);
    if (!attribute_is(r, n, "transA", 0, 0))
        return;
    if (attribute_real(n, "alpha", 1) != 1 || attribute_real(n, "beta", 1) != 1) {
        graph_fail(r->g, ERR_UNSUPPORTED, "only alpha 1 and beta 1 are known here");
        return;
    }
    set_output(r, n, 0, graph_add(r->g, rule->def, "", in, bias ? 3 : 2, &a));
}

static bool trains_by_batch(const struct replay *r, const Onnx__Node *n)
{
    /* Before operator set 14 only its further outputs tell that it is in training form. */
    bool written = attribute_int(n, "training_mode", 0) != 0 || n->n_output > 1;

    return onnx_as_written(r->m) ? written : r->net->training;
}

static void batch_norm(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    static const enum param_role roles[] = {ROLE_BN_GAMMA, ROLE_BN_BETA, ROLE_BN_MEAN, ROLE_BN_VAR};
    const struct norm_attr a = {.epsilon = attribute_real(n, "epsilon", 1e-5)};
    value_id in[5] = {input_value(r, n, 0)}, y;

    for (size_t i = 0; i < 4; i++)
        in[1 + i] = input_param(r, n, 1 + i, roles[i]);
    if (!(a.epsilon >= 0)) {
        graph_fail(r->g, ERR_DATA, "epsilon is %g", a.epsilon);
    } else if (trains_by_batch(r, n)) {
        y = graph_add(r->g, &op_batch_norm_train, "", in, 3, &a);
        if (y != NO_VALUE && r->net->training)
            net_sink_statistics(r->g, y, in[0], in[3], in[4]);
        set_output(r, n, 0, y);
    } else {
        set_output(r, n, 0, graph_add(r->g, rule->def, "", in, 5, &a));
    }
}

static void unary(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    value_id x = input_value(r, n, 0);

    set_output(r, n, 0, graph_add(r->g, rule->def, "", &x, 1, NULL));
}

/* What leaves its input as it is when nothing is trained, or always. */
static void pass_on(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    (void)rule;
    set_output(r, n, 0, input_value(r, n, 0));
}

static void cast(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    if (attribute_is(r, n, "to", ONNX__ELEMENT_TYPE__FLOAT32, ONNX__ELEMENT_TYPE__FLOAT32))
        pass_on(r, n, rule);
}

static void clip(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    struct clip_attr a = {.min = -(double)FLT_MAX, .max = (double)FLT_MAX};
    value_id x = input_value(r, n, 0);

    if ((node_has(n, 1) && !input_number(r, n, 1, &a.min)) ||
        (node_has(n, 2) && !input_number(r, n, 2, &a.max)) || !(a.min <= a.max)) {
        graph_fail(r->g, ERR_UNSUPPORTED, "its limits are no numbers of the file in order");
        return;
    }
    set_output(r, n, 0, graph_add(r->g, rule->def, "", &x, 1, &a));
}

/* A dimension of 1 of either operand is repeated. */
static void of_values(struct replay *r, const Onnx__Node *n, const struct op_def *op, value_id a,
                      value_id b)
{
    struct shape to = *graph_shape(r->g, a);
    const struct shape *other = graph_shape(r->g, b);

    for (int i = 0; i < to.rank && to.rank == other->rank; i++)
        if (to.dim[i] == 1)
            to.dim[i] = other->dim[i];
    if (to.rank != other->rank) {
        graph_fail(r->g, ERR_UNSUPPORTED, "operands of %d and %d dimensions", to.rank, other->rank);
        return;
    }
    a = g_broadcast(r->g, a, to);
    b = g_broadcast(r->g, b, to);
    set_output(r, n, 0, graph_add(r->g, op, "", (value_id[]){a, b}, 2, NULL));
}

/* x op c, or c op x where `turned`, as scale x + shift. False: c / x. */
static bool affine_of(const struct op_def *op, bool turned, double c, double *scale, double *shift)
{
    *scale = op == &op_mul ? c : op == &op_div ? 1 / c : op == &op_sub && turned ? -1 : 1;
    *shift = op == &op_add || (op == &op_sub && turned) ? c : op == &op_sub ? -c : 0;
    return !(op == &op_div && turned);
}

/* Whether a constant has one number for each channel of x: [C], [1,C] for rows, [C,1,1], [1,C,1,1]. */
static bool by_channel(const struct st_tensor *t, const struct shape *x)
{
    int axis = t->rank - (x->rank - 1);

    return (x->rank == 2 || x->rank == 4) && axis >= 0 && axis < t->rank && t->rank <= x->rank &&
           t->shape[axis] == x->dim[1] && st_count(t) == x->dim[1];
}

/* A constant of the file with a value. */
static void with_constant(struct replay *r, const Onnx__Node *n, const struct op_def *op,
                          value_id x, const struct st_tensor *t, bool turned)
{
    const struct shape *s = graph_shape(r->g, x);
    size_t channels = s->rank > 1 ? (size_t)s->dim[1] : 0, count = (size_t)st_count(t);
    double *scale, *shift;
    bool ok;

    if ((s->rank != 2 && s->rank != 4) || (count != 1 && !by_channel(t, s))) {
        graph_fail(r->g, ERR_UNSUPPORTED,
                   "%.200s is no number, and has not one for each channel either", t->name);
        return;
    }
    scale = NEW_ARRAY(double, channels);
    shift = NEW_ARRAY(double, channels);
    ok = st_to_double(t, shift);
    for (size_t i = count; i < channels; i++)
        shift[i] = shift[0];
    for (size_t i = 0; ok && i < channels; i++)
        ok = affine_of(op, turned, shift[i], &scale[i], &shift[i]);
    if (ok)
        set_output(r, n, 0, net_channel_affine(r->net, x, scale, shift));
    else
        graph_fail(r->g, ERR_UNSUPPORTED, "a constant in this place is not known here");
    free(scale);
    free(shift);
}

/* MatMul and the Add behind it are one product with a bias. */
static bool joins_product(struct replay *r, const Onnx__Node *n, size_t value_at)
{
    int v = onnx_find(r->m, n->input[value_at]);
    const struct st_tensor *t = input_tensor(r, n, 1 - value_at);
    value_id x = r->items[v].value, bias;
    node_id made = r->g->values.at[x].producer;
    const struct node *product;

    if (made == NO_NODE || onnx_uses(r->m, v) != 1 || v == onnx_ends_of(r->m)->logits ||
        v == onnx_ends_of(r->m)->features)
        return false;
    product = &r->g->nodes.at[made];
    if (product->op != &op_gemm || product->n_in != 2 || t->rank != 1 ||
        t->shape[0] != graph_shape(r->g, x)->dim[1])
        return false;
    bias = input_param(r, n, 1 - value_at, ROLE_BIAS);
    if (bias != NO_VALUE) {
        product = &r->g->nodes.at[made];
        graph_replace_node(r->g, made, &op_gemm, (value_id[]){product->in[0], product->in[1], bias},
                           3, product->attr);
        set_output(r, n, 0, x);
    }
    return true;
}

static void binary(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    size_t at = input_tensor(r, n, 0) ? 1 : 0;
    const struct st_tensor *t = input_tensor(r, n, 1 - at);
    value_id x = input_value(r, n, at), other;

    if (x == NO_VALUE)
        return;
    if (!t) {
        other = input_value(r, n, 1);
        if (other != NO_VALUE)
            of_values(r, n, rule->def, x, other);
    } else if (rule->def != &op_add || !joins_product(r, n, at)) {
        with_constant(r, n, rule->def, x, t, at == 1);
    }
}

#define WINDOW_ATTRIBUTES "auto_pad", "dilations", "kernel_shape", "pads", "strides"

const struct rule import_rules[] = {
    {"Add", 2, 2, binary, &op_add, {NULL}},
    {"AveragePool",
     1,
     1,
     pool,
     &op_average_pool,
     {WINDOW_ATTRIBUTES, "ceil_mode", "count_include_pad"}},
    {"BatchNormalization",
     5,
     5,
     batch_norm,
     &op_batch_norm,
     {"epsilon", "momentum", "training_mode"}},
    {"Cast", 1, 1, cast, NULL, {"to"}},
    {"Clip", 1, 3, clip, &op_clip, {NULL}},
    {"Conv", 2, 3, conv, &op_conv, {WINDOW_ATTRIBUTES, "group"}},
    {"Div", 2, 2, binary, &op_div, {NULL}},
    {"Dropout", 1, 3, pass_on, NULL, {"ratio", "seed"}},
    {"Gemm", 2, 3, gemm, &op_gemm, {"alpha", "beta", "transA", "transB"}},
    {"GlobalAveragePool", 1, 1, unary, &op_global_average_pool, {NULL}},
    {"Identity", 1, 1, pass_on, NULL, {NULL}},
    {"MatMul", 2, 2, gemm, &op_gemm, {NULL}},
    {"MaxPool", 1, 1, pool, &op_max_pool, {WINDOW_ATTRIBUTES, "ceil_mode", "storage_order"}},
    {"Mul", 2, 2, binary, &op_mul, {NULL}},
    {"ReduceMean", 1, 1, reduce_mean, NULL, {"axes", "keepdims"}},
    {"Relu", 1, 1, unary, &op_relu, {NULL}},
    {"Sigmoid", 1, 1, unary, &op_sigmoid, {NULL}},
    {"Sub", 2, 2, binary, &op_sub, {NULL}},
};

const size_t n_import_rules = ARRAY_LEN(import_rules);
