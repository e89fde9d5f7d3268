#include "tests/ops/cases.h"

#include <stdio.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "worker/engine/ops/ops.h"

/* The next real input; all of them are differentiated. */
static value_id input(struct graph *g, struct shape s)
{
    char name[16];
    value_id v;

    snprintf(name, sizeof(name), "x%zu", g->values.n);
    v = graph_input(g, name, DT_REAL, s);
    graph_want_grad(g, v);
    return v;
}

/* Strictly positive when the test fills it: its name says so. */
static value_id positive(struct graph *g, struct shape s)
{
    char name[16];
    value_id v;

    snprintf(name, sizeof(name), "+x%zu", g->values.n);
    v = graph_input(g, name, DT_REAL, s);
    graph_want_grad(g, v);
    return v;
}

/* Whole numbers below 3. */
static value_id labels(struct graph *g, int64_t n)
{
    return graph_input(g, "labels", DT_INDEX, shape1(n));
}

static value_id constant(struct graph *g, struct shape s, double lo, double hi)
{
    size_t n = (size_t)shape_count(&s);
    float *data = NEW_ARRAY(float, n);
    char name[16];

    for (size_t i = 0; i < n; i++)
        data[i] = (float)(lo + (hi - lo) * rng_uniform(g->values.n, i));
    snprintf(name, sizeof(name), "c%zu", g->values.n);
    return graph_const(g, name, s, data);
}

#define CONV(id, n, c, o, h, w, k, stride, pad, group, has_bias)       \
    static value_id id(struct graph *g)                                \
    {                                                                  \
        value_id x = input(g, shape4(n, c, h, w)),                     \
                 weight = input(g, shape4(o, (c) / (group), k, k));    \
        value_id bias = (has_bias) ? input(g, shape1(o)) : NO_VALUE;   \
                                                                       \
        return g_conv(g, "conv", x, weight, bias, stride, pad, group); \
    }

CONV(conv_plain, 2, 3, 5, 7, 6, 3, 1, 1, 1, true)
CONV(conv_first, 2, 3, 16, 8, 8, 3, 1, 1, 1, false)
CONV(conv_blocked, 3, 16, 32, 9, 7, 3, 1, 1, 1, false)
CONV(conv_strided, 2, 32, 32, 8, 8, 3, 2, 1, 1, true)
CONV(conv_odd_strided, 1, 16, 16, 9, 9, 3, 2, 1, 1, false)
CONV(conv_1x1_strided, 2, 16, 32, 8, 8, 1, 2, 0, 1, false)
CONV(conv_5x5, 1, 16, 16, 6, 6, 5, 1, 2, 1, false)
CONV(conv_grouped, 2, 6, 4, 5, 5, 3, 1, 1, 2, true)
CONV(conv_blocked_odd_width, 2, 32, 16, 5, 11, 3, 2, 1, 1, false)
CONV(conv_grouped_blocked, 1, 32, 32, 5, 5, 3, 1, 1, 2, false)
CONV(conv_depthwise, 2, 16, 16, 6, 6, 3, 1, 1, 16, false)
CONV(conv_one_pixel, 1, 6, 4, 1, 1, 3, 1, 1, 1, true)

static value_id norm_train(struct graph *g, struct shape s)
{
    value_id x = input(g, s), gamma = input(g, shape1(s.dim[1])), beta = input(g, shape1(s.dim[1]));

    return g_batch_norm_train(g, "bn", x, gamma, beta);
}

static value_id bn_train_images(struct graph *g)
{
    return norm_train(g, shape4(3, 16, 5, 4));
}

static value_id bn_train_plain_images(struct graph *g)
{
    return norm_train(g, shape4(2, 3, 5, 4));
}

static value_id bn_train_relu(struct graph *g)
{
    return g_relu(g, norm_train(g, shape4(3, 16, 5, 4)));
}

/* The end of a residual block. */
static value_id bn_train_residual(struct graph *g)
{
    value_id x = input(g, shape4(3, 32, 4, 4));

    return g_relu(g, g_add(g, norm_train(g, shape4(3, 32, 4, 4)), x));
}

static value_id bn_train_residual_plain(struct graph *g)
{
    value_id x = input(g, shape4(3, 3, 4, 4));

    return g_relu(g, g_add(g, x, norm_train(g, shape4(3, 3, 4, 4))));
}

static value_id bn_train_rows(struct graph *g)
{
    return norm_train(g, shape2(9, 7));
}

static value_id norm_eval(struct graph *g, struct shape s)
{
    struct shape c = shape1(s.dim[1]);
    value_id x = input(g, s), gamma = input(g, c), beta = input(g, c);

    return g_batch_norm(g, "bn", x, gamma, beta, constant(g, c, -1, 1), constant(g, c, 0.5, 2));
}

static value_id bn_eval_images(struct graph *g)
{
    return norm_eval(g, shape4(2, 16, 3, 5));
}

static value_id bn_eval_rows(struct graph *g)
{
    return norm_eval(g, shape2(4, 5));
}

static value_id pool_blocked(struct graph *g)
{
    return g_global_average_pool(g, input(g, shape4(2, 32, 7, 5)));
}

static value_id pool_plain(struct graph *g)
{
    return g_flatten(g, g_global_average_pool(g, input(g, shape4(3, 5, 4, 4))));
}

static value_id flatten_blocked(struct graph *g)
{
    value_id x = g_relu(g, input(g, shape4(2, 16, 3, 2)));

    return g_gemm(g, "fc", g_flatten(g, x), input(g, shape2(5, 96)), NO_VALUE, false, true);
}

static value_id linear(struct graph *g)
{
    return g_gemm(g, "fc", input(g, shape2(6, 33)), input(g, shape2(10, 33)), input(g, shape1(10)),
                  false, true);
}

static value_id matmul(struct graph *g)
{
    return g_gemm(g, "mm", input(g, shape2(4, 9)), input(g, shape2(9, 3)), NO_VALUE, false, false);
}

static value_id residual(struct graph *g)
{
    value_id x = input(g, shape4(2, 16, 6, 6)), w = input(g, shape4(16, 16, 3, 3));

    return g_relu(g, g_add(g, g_conv(g, "c", x, w, NO_VALUE, 1, 1, 1), x));
}

static value_id relu_plain(struct graph *g)
{
    return g_relu(g, input(g, shape4(2, 3, 5, 4)));
}

/* a*b + a/c - exp(a): every value used more than once, so gradients are summed. */
static value_id arithmetic(struct graph *g)
{
    value_id a = input(g, shape2(3, 4)), b = input(g, shape2(3, 4)), c = positive(g, shape2(3, 4));
    value_id sum = g_add(g, g_mul(g, a, b), g_div(g, a, c));

    return g_affine(g, 0.5, g_sub(g, sum, g_exp(g, a)), 2);
}

static value_id maximum(struct graph *g)
{
    return g_max(g, input(g, shape1(40)), input(g, shape1(40)));
}

static value_id row_norm(struct graph *g)
{
    return g_row_norm(g, input(g, shape2(4, 6)));
}

static value_id sums(struct graph *g)
{
    value_id x = input(g, shape2(4, 6));

    return g_mul(g, g_column_sum(g, x), g_column_sum(g, g_mul(g, x, x)));
}

static value_id row_sum_of_product(struct graph *g)
{
    return g_row_sum(g, g_mul(g, input(g, shape2(5, 3)), input(g, shape2(5, 3))));
}

static value_id log_softmax(struct graph *g)
{
    return g_log_softmax(g, input(g, shape2(4, 7)));
}

static value_id cross_entropy(struct graph *g)
{
    return g_scale(g, g_pick(g, g_log_softmax(g, input(g, shape2(5, 3))), labels(g, 5)), -1);
}

static value_id gather_rows(struct graph *g)
{
    value_id x = input(g, shape2(5, 4));

    return g_mul(g, x, g_gather(g, constant(g, shape2(3, 4), -1, 1), labels(g, 5)));
}

/* What the passes make of an inference net: folded, fused, with and without a residual. */
static value_id fused(struct graph *g)
{
    struct shape c = shape1(16);
    value_id x = graph_input(g, "x", DT_REAL, shape4(2, 16, 8, 8)), y;

    y = g_conv(g, "c1", x, constant(g, shape4(16, 16, 3, 3), -1, 1), NO_VALUE, 1, 1, 1);
    y = g_batch_norm(g, "b1", y, constant(g, c, 0.5, 1), constant(g, c, -1, 1),
                     constant(g, c, -1, 1), constant(g, c, 0.5, 2));
    y = g_relu(g, y);
    y = g_conv(g, "c2", y, constant(g, shape4(16, 16, 3, 3), -1, 1), constant(g, c, -1, 1), 1, 1,
               1);
    return g_relu(g, g_add(g, y, x));
}

const struct op_case op_cases[] = {
    {"conv_plain", conv_plain, false},
    {"conv_first", conv_first, false},
    {"conv_blocked", conv_blocked, false},
    {"conv_strided", conv_strided, false},
    {"conv_odd_strided", conv_odd_strided, false},
    {"conv_1x1_strided", conv_1x1_strided, false},
    {"conv_5x5", conv_5x5, false},
    {"conv_grouped", conv_grouped, false},
    {"conv_blocked_odd_width", conv_blocked_odd_width, false},
    {"conv_grouped_blocked", conv_grouped_blocked, false},
    {"conv_depthwise", conv_depthwise, false},
    {"conv_one_pixel", conv_one_pixel, false},
    {"bn_train_images", bn_train_images, false},
    {"bn_train_plain_images", bn_train_plain_images, false},
    {"bn_train_relu", bn_train_relu, false},
    {"bn_train_residual", bn_train_residual, false},
    {"bn_train_residual_plain", bn_train_residual_plain, false},
    {"bn_train_rows", bn_train_rows, false},
    {"bn_eval_images", bn_eval_images, false},
    {"bn_eval_rows", bn_eval_rows, false},
    {"pool_blocked", pool_blocked, false},
    {"pool_plain", pool_plain, false},
    {"flatten_blocked", flatten_blocked, false},
    {"linear", linear, false},
    {"matmul", matmul, false},
    {"residual", residual, false},
    {"relu_plain", relu_plain, false},
    {"arithmetic", arithmetic, false},
    {"maximum", maximum, false},
    {"row_norm", row_norm, false},
    {"sums", sums, false},
    {"row_sum_of_product", row_sum_of_product, false},
    {"log_softmax", log_softmax, false},
    {"cross_entropy", cross_entropy, false},
    {"gather_rows", gather_rows, false},
    {"fused", fused, true},
};
const size_t n_op_cases = ARRAY_LEN(op_cases);
