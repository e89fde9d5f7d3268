#include "tests/ops/cases.h"

#include <math.h>
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
CONV(conv_grouped_1x1, 2, 24, 60, 4, 4, 1, 1, 0, 3, false)
CONV(conv_depthwise_even_strided, 2, 16, 16, 8, 6, 3, 2, 1, 16, true)
CONV(conv_depthwise_odd_channels, 2, 12, 12, 6, 6, 3, 2, 1, 12, false)
CONV(conv_stem, 1, 3, 16, 14, 14, 7, 2, 3, 1, false)
CONV(conv_filled, 2, 24, 40, 6, 5, 3, 1, 1, 1, false)
CONV(conv_filled_1x1, 2, 58, 116, 4, 4, 1, 2, 0, 1, true)
CONV(conv_filled_first, 2, 3, 24, 6, 6, 3, 1, 1, 1, false)
CONV(conv_filled_depthwise, 2, 58, 58, 6, 6, 3, 2, 1, 58, false)
CONV(conv_pixels_few, 19, 24, 40, 2, 2, 1, 1, 0, 1, false)
CONV(conv_pixels_strided, 11, 16, 32, 5, 7, 1, 2, 0, 1, false)
CONV(conv_pixels_many, 2, 32, 16, 9, 11, 1, 1, 0, 1, false)
CONV(conv_grouped_across_blocks, 2, 60, 240, 3, 3, 1, 1, 0, 3, false)
CONV(conv_grouped_small, 5, 48, 40, 8, 9, 1, 1, 0, 4, false)
CONV(conv_depthwise_tiny, 3, 32, 32, 2, 2, 3, 1, 1, 32, false)
CONV(conv_depthwise_one_pixel, 2, 16, 16, 1, 1, 3, 2, 1, 16, false)
CONV(conv_depthwise_5x5, 2, 40, 40, 7, 5, 5, 1, 2, 40, false)
CONV(conv_depthwise_third, 2, 16, 16, 11, 10, 5, 3, 1, 16, false)
CONV(conv_depthwise_skipping, 2, 16, 16, 7, 9, 2, 3, 0, 16, false)
CONV(conv_depthwise_large, 1, 16, 16, 34, 31, 3, 1, 1, 16, false)
CONV(conv_depthwise_border, 2, 16, 16, 4, 5, 2, 2, 3, 16, false)
CONV(conv_tiles, 2, 16, 32, 8, 8, 3, 1, 1, 1, false)
CONV(conv_odd_tiles, 2, 40, 24, 11, 7, 3, 1, 1, 1, false)
CONV(conv_many_tiles, 5, 16, 16, 16, 16, 3, 1, 1, 1, false)
CONV(conv_unpadded_tiles, 2, 16, 16, 10, 6, 3, 1, 0, 1, false)
CONV(conv_widely_padded_tiles, 2, 16, 16, 6, 6, 3, 1, 2, 1, false)
CONV(conv_one_pixel, 1, 6, 4, 1, 1, 3, 1, 1, 1, true)

/* Values that differ by a tenth or more, in some order, plus a little of an input: windows of them have
 * one maximum, also half a finite difference away. */
static value_id steps(struct graph *g, struct shape s)
{
    int64_t n = shape_count(&s);
    float *data = NEW_ARRAY(float, (size_t)n);
    char name[16];

    for (int64_t i = 0; i < n; i++)
        data[i] = 0.1f * (float)(i * 7919 % n - n / 2);
    snprintf(name, sizeof(name), "c%zu", g->values.n);
    return g_add(g, graph_const(g, name, s, data), g_scale(g, input(g, s), 0.01));
}

#define POOL(id, build, n, c, h, w, kernel, stride, pad)                    \
    static value_id id(struct graph *g)                                     \
    {                                                                       \
        return build(g, steps(g, shape4(n, c, h, w)), kernel, stride, pad); \
    }

POOL(max_pool_even, g_max_pool, 2, 3, 8, 6, 2, 2, 0)
POOL(max_pool_odd, g_max_pool, 2, 3, 7, 5, 2, 2, 0)
POOL(max_pool_overlapping, g_max_pool, 2, 3, 7, 8, 3, 2, 1)
POOL(max_pool_blocked, g_max_pool, 2, 32, 9, 8, 3, 2, 1)
POOL(average_pool_even, g_average_pool, 2, 3, 8, 6, 2, 2, 0)
POOL(average_pool_padded, g_average_pool, 2, 3, 7, 8, 3, 2, 1)
POOL(average_pool_blocked, g_average_pool, 2, 32, 9, 8, 3, 2, 1)

/* Unlike in every way that attributes allow. */
static const struct window_attr lopsided = {
    .kernel_shape = {3, 2}, .strides = {1, 2}, .pads = {2, 1, 1, 0}};

static value_id max_pool_lopsided(struct graph *g)
{
    value_id x = steps(g, shape4(2, 3, 6, 7));

    return graph_add(g, &op_max_pool, "", &x, 1, &lopsided);
}

static value_id average_pool_without_padding(struct graph *g)
{
    value_id x = input(g, shape4(2, 16, 6, 7));

    return graph_add(g, &op_average_pool, "", &x, 1, &lopsided);
}

#define TO_SIZE(id, build, n, c, h, w, height, width)                 \
    static value_id id(struct graph *g)                               \
    {                                                                 \
        return build(g, input(g, shape4(n, c, h, w)), height, width); \
    }

TO_SIZE(adaptive_pool_overlapping, g_adaptive_average_pool, 2, 3, 7, 5, 4, 2)
TO_SIZE(adaptive_pool_blocked, g_adaptive_average_pool, 2, 16, 8, 8, 4, 1)
TO_SIZE(adaptive_pool_larger, g_adaptive_average_pool, 1, 3, 2, 3, 4, 4)
TO_SIZE(resize_up, g_resize_nearest, 2, 3, 4, 5, 8, 7)
TO_SIZE(resize_down, g_resize_nearest, 2, 3, 7, 8, 5, 4)
TO_SIZE(resize_blocked, g_resize_nearest, 2, 32, 4, 4, 8, 8)
TO_SIZE(resize_pixel, g_resize_nearest, 2, 16, 1, 1, 4, 3)

static value_id concat_channels(struct graph *g)
{
    value_id x[] = {input(g, shape4(2, 3, 4, 5)), input(g, shape4(2, 1, 4, 5)),
                    input(g, shape4(2, 4, 4, 5))};

    return g_concat(g, 1, x, 3);
}

static value_id concat_blocked(struct graph *g)
{
    value_id x[] = {input(g, shape4(2, 16, 4, 5)), input(g, shape4(2, 32, 4, 5))};

    return g_relu(g, g_concat(g, 1, x, 2));
}

/* Parts that are blocked by themselves alone, or only together. */
static value_id concat_halves(struct graph *g)
{
    value_id x[] = {input(g, shape4(2, 8, 4, 5)), input(g, shape4(2, 24, 4, 5))};

    return g_relu(g, g_concat(g, 1, x, 2));
}

static value_id concat_last(struct graph *g)
{
    value_id x[] = {input(g, shape2(3, 4)), input(g, shape2(3, 2))};

    return g_concat(g, 1, x, 2);
}

static value_id concat_first(struct graph *g)
{
    value_id x[] = {input(g, shape4(2, 16, 3, 3)), input(g, shape4(1, 16, 3, 3))};

    return g_concat(g, 0, x, 2);
}

/* What a ShuffleNet does: one part goes on, both are joined and shuffled. */
static value_id split_and_shuffle(struct graph *g)
{
    value_id part[2], w = input(g, shape4(16, 16, 1, 1));
    value_id x = g_relu(g, input(g, shape4(2, 32, 4, 4)));

    g_split(g, x, 1, (const int64_t[]){16, 16}, 2, part);
    part[1] = g_relu(g, g_conv(g, "c", part[1], w, NO_VALUE, 1, 0, 1));
    return g_channel_shuffle(g, g_concat(g, 1, part, 2), 2);
}

static value_id split_odd(struct graph *g)
{
    value_id part[3], x = g_relu(g, input(g, shape4(2, 32, 3, 4)));

    g_split(g, x, 1, (const int64_t[]){5, 20, 7}, 3, part);
    part[1] = g_relu(g, part[1]);
    return g_concat(g, 1, (const value_id[]){part[2], part[1], part[0], part[2]}, 4);
}

static value_id slice_rows(struct graph *g)
{
    return g_slice(g, input(g, shape4(2, 16, 6, 5)), 2, 1, 4);
}

static value_id pad_images(struct graph *g)
{
    return g_pad_axis(g, g_pad_axis(g, input(g, shape4(2, 16, 3, 4)), 2, 1, 0), 3, 2, 1);
}

static value_id shuffle_three(struct graph *g)
{
    return g_channel_shuffle(g, input(g, shape4(2, 12, 3, 4)), 3);
}

static value_id shuffle_blocked(struct graph *g)
{
    return g_relu(g, g_channel_shuffle(g, g_relu(g, input(g, shape4(2, 48, 3, 4))), 3));
}

/* A shuffle as ONNX writes it. */
static value_id shuffle_by_transpose(struct graph *g)
{
    value_id x = g_view(g, input(g, shape4(2, 6, 3, 4)), (struct shape){5, {2, 3, 2, 3, 4}});

    x = g_transpose(g, x, (const int64_t[]){0, 2, 1, 3, 4});
    return g_view(g, x, shape4(2, 6, 3, 4));
}

static value_id transpose_all(struct graph *g)
{
    return g_transpose(g, input(g, shape4(2, 16, 3, 4)), (const int64_t[]){2, 0, 3, 1});
}

/* The fusion block's: y = a sigmoid(z_0) + b sigmoid(z_1). */
static value_id gate_mix(struct graph *g)
{
    struct shape s = shape4(2, 16, 4, 5);
    value_id a = input(g, s), b = input(g, s), gate[2];
    value_id z = g_sigmoid(g, input(g, shape4(2, 2, 4, 5)));

    g_split(g, z, 1, (const int64_t[]){1, 1}, 2, gate);
    return g_add(g, g_mul(g, a, g_broadcast(g, gate[0], s)),
                 g_mul(g, b, g_broadcast(g, gate[1], s)));
}

static value_id gate_filled(struct graph *g)
{
    struct shape s = shape4(2, 24, 4, 5);
    value_id x =
        g_relu(g, g_conv(g, "c", input(g, s), input(g, shape4(24, 24, 1, 1)), NO_VALUE, 1, 0, 1));

    x = g_mul(g, x, g_broadcast(g, g_sigmoid(g, input(g, shape4(2, 1, 4, 5))), s));
    return g_global_average_pool(g, g_relu(g, x));
}

static value_id broadcast_channels(struct graph *g)
{
    struct shape s = shape4(2, 16, 4, 5);

    return g_mul(g, input(g, s), g_broadcast(g, input(g, shape4(2, 16, 1, 1)), s));
}

static value_id broadcast_and_back(struct graph *g)
{
    struct shape s = {3, {3, 4, 5}};
    value_id x = g_broadcast(g, input(g, (struct shape){3, {1, 4, 1}}), s);

    return g_sum_to(g, g_mul(g, x, input(g, s)), (struct shape){3, {3, 1, 5}});
}

static value_id sample_mean(struct graph *g)
{
    value_id x = input(g, shape4(3, 16, 4, 2));

    return g_sample_mean(g, g_mul(g, x, x));
}

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

static value_id bn_train_relu_filled(struct graph *g)
{
    return g_relu(g, norm_train(g, shape4(3, 24, 5, 4)));
}

static value_id bn_train_relu_plain(struct graph *g)
{
    return g_relu(g, norm_train(g, shape4(3, 3, 5, 4)));
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

/* 24 channels fill a block and a half. */
static value_id bn_train_filled(struct graph *g)
{
    value_id x = input(g, shape4(3, 24, 4, 4));

    return g_relu(g, g_add(g, norm_train(g, shape4(3, 24, 4, 4)), x));
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

static value_id bn_eval_filled(struct graph *g)
{
    return norm_eval(g, shape4(2, 24, 3, 5));
}

static value_id bn_eval_rows(struct graph *g)
{
    return norm_eval(g, shape2(4, 5));
}

static value_id pool_blocked(struct graph *g)
{
    return g_global_average_pool(g, input(g, shape4(2, 32, 7, 5)));
}

/* What is cut away must not come back from the filling. */
static value_id pool_filled(struct graph *g)
{
    value_id x = g_relu(g, input(g, shape4(2, 24, 4, 5)));

    return g_mul(g, g_global_average_pool(g, x), input(g, shape4(2, 24, 1, 1)));
}

static value_id windows_filled(struct graph *g)
{
    value_id x = g_clip(g, steps(g, shape4(2, 12, 7, 8)), -5, 5);

    x = g_max_pool(g, x, 3, 2, 1);
    return g_resize_nearest(g, g_average_pool(g, x, 2, 1, 0), 5, 5);
}

static value_id moves_filled(struct graph *g)
{
    value_id x = g_relu(g, input(g, shape4(2, 40, 3, 4))), w = input(g, shape4(24, 20, 1, 1));
    value_id part[2];

    g_split(g, x, 1, (const int64_t[]){20, 20}, 2, part);
    part[1] = g_scale(g, g_conv(g, "c", part[1], w, NO_VALUE, 1, 0, 1), 0.5);
    part[0] = g_pad_axis(g, part[0], 1, 1, 3);
    x = g_sub(g, g_mul(g, part[0], part[1]), part[1]);
    return g_channel_shuffle(g, g_concat(g, 1, (const value_id[]){x, part[0]}, 2), 4);
}

static value_id flatten_filled(struct graph *g)
{
    value_id x = g_relu(g, input(g, shape4(2, 12, 3, 2)));

    return g_gemm(g, "fc", g_flatten(g, x), input(g, shape2(5, 72)), NO_VALUE, false, true);
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

/* More columns than a panel has, more rows than a tile, more inner products than a part; none a multiple. */
static value_id matmul_large(struct graph *g)
{
    return g_gemm(g, "mm", input(g, shape2(35, 205)), input(g, shape2(205, 71)),
                  input(g, shape1(71)), false, false);
}

static value_id matmul_turned(struct graph *g)
{
    return g_gemm(g, "mm", input(g, shape2(35, 205)), input(g, shape2(71, 205)),
                  input(g, shape1(71)), false, true);
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

static value_id roots_and_logs(struct graph *g)
{
    value_id x = positive(g, shape2(3, 4));

    return g_add(g, g_sqrt(g, x), g_log(g, x));
}

static value_id sigmoid(struct graph *g)
{
    return g_sigmoid(g, g_scale(g, input(g, shape4(2, 16, 3, 3)), 9));
}

/* Inputs stay away from 0, and so from both limits. */
static value_id clip(struct graph *g, struct shape s)
{
    value_id x = input(g, s);

    return g_add(g, g_clip(g, x, 0, 6), g_scale(g, g_clip(g, g_affine(g, 1, x, 6), 0, 6), 3));
}

static value_id clip_blocked(struct graph *g)
{
    return clip(g, shape4(2, 32, 3, 4));
}

static value_id clip_plain(struct graph *g)
{
    return clip(g, shape4(2, 3, 3, 4));
}

static value_id clip_rows(struct graph *g)
{
    return clip(g, shape2(5, 7));
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

/* Without the label's logit, which is the largest of some rows. */
static value_id log_sum_exp_of_others(struct graph *g)
{
    return g_log_sum_exp(g, g_put(g, input(g, shape2(5, 4)), labels(g, 5), -1e30));
}

/* Its gradient is no derivative; tests/ops/test_losses.c has what it is for. */
static value_id detached(struct graph *g)
{
    return g_detach(g, input(g, shape2(3, 4)));
}

static value_id gather_rows(struct graph *g)
{
    value_id x = input(g, shape2(5, 4));

    return g_mul(g, x, g_gather(g, constant(g, shape2(3, 4), -1, 1), labels(g, 5)));
}

static value_id fused_filled(struct graph *g)
{
    struct shape c = shape1(24);
    value_id x = graph_input(g, "x", DT_REAL, shape4(2, 24, 8, 8)), y;

    y = g_conv(g, "c", x, constant(g, shape4(24, 24, 3, 3), -1, 1), NO_VALUE, 1, 1, 1);
    y = g_batch_norm(g, "b", y, constant(g, c, 0.5, 1), constant(g, c, -1, 1),
                     constant(g, c, -1, 1), constant(g, c, 0.5, 2));
    y = g_relu(g, g_add(g, y, x));
    return g_max_pool(g, y, 2, 2, 0);
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

static value_id to_bytes(struct graph *g, value_id x, int64_t axis, bool is_signed, double scale)
{
    const struct quantise_attr attr = {.is_signed = is_signed, .axis = axis};
    struct shape s = shape1(graph_shape(g, x)->dim[axis]);
    value_id in[] = {x, constant(g, s, 0.9 * scale, scale), constant(g, s, -3, 3)};

    return graph_add(g, &op_quantise, "", in, 3, &attr);
}

static value_id to_reals(struct graph *g, value_id q)
{
    return graph_add(g, &op_dequantise, "", &q, 1, &(struct dequantise_attr){.scale = 0.37});
}

/* Some of the bytes are at their ends: inputs go to 1, or to -1 and 1. */
static value_id bytes(struct graph *g, struct shape s, bool is_signed)
{
    char name[16];

    snprintf(name, sizeof(name), is_signed ? "x%zu" : "+x%zu", g->values.n);
    return to_bytes(g, graph_input(g, name, DT_REAL, s), 1, is_signed, is_signed ? 140 : 270);
}

struct quant_case {
    int64_t n, c, o, h, w, k, stride, pad;
    bool is_signed;
    int residual; /* enum dtype; DT_INDEX: none */
    bool relu;
    enum dtype to;
};

static value_id residual_of(struct graph *g, const struct quant_case *q, struct shape s)
{
    return q->residual == DT_REAL ? graph_input(g, "r", DT_REAL, s)
                                  : bytes(g, s, q->residual == DT_S8);
}

static value_id quant_conv(struct graph *g, const struct quant_case *q)
{
    struct quant_conv_attr attr = {.conv = {.strides = {q->stride, q->stride},
                                            .pads = {q->pad, q->pad, q->pad, q->pad},
                                            .group = 1,
                                            .relu = q->relu},
                                   .residual = 0.81,
                                   .to = q->to};
    struct shape channels = shape1(q->o);
    /* A sum of so many products of bytes is often as large as the byte that it is to be. */
    double unit = 1 / (60 * (double)q->k * sqrt((double)q->c));
    int n_in = q->residual == DT_INDEX ? 4 : 5;
    value_id in[5], y;

    in[0] = bytes(g, shape4(q->n, q->c, q->h, q->w), q->is_signed);
    in[1] = to_bytes(g, constant(g, shape4(q->o, q->c, q->k, q->k), -1, 1), 0, true, 127);
    in[2] = constant(g, channels, 0.5 * unit, unit);
    in[3] = constant(g, channels, -9000, 9000);
    in[4] = q->residual == DT_INDEX
                ? NO_VALUE
                : residual_of(g, q,
                              shape4(q->n, q->o, (q->h + 2 * q->pad - q->k) / q->stride + 1,
                                     (q->w + 2 * q->pad - q->k) / q->stride + 1));
    y = graph_add(g, &op_quant_conv, "c", in, n_in, &attr);
    return q->to == DT_REAL ? y : to_reals(g, y);
}

#define QUANT_CONV(id, ...)                                            \
    static value_id id(struct graph *g)                                \
    {                                                                  \
        return quant_conv(g, &(const struct quant_case){__VA_ARGS__}); \
    }

QUANT_CONV(quant_conv_block, 2, 32, 64, 8, 8, 3, 1, 1, false, DT_U8, true, DT_U8)
QUANT_CONV(quant_conv_signed_residual, 2, 64, 64, 8, 8, 3, 1, 1, false, DT_S8, true, DT_U8)
QUANT_CONV(quant_conv_narrow, 3, 16, 16, 9, 7, 3, 1, 1, false, DT_INDEX, true, DT_U8)
QUANT_CONV(quant_conv_shortcut, 2, 32, 64, 8, 8, 1, 2, 0, false, DT_INDEX, false, DT_S8)
QUANT_CONV(quant_conv_strided, 2, 32, 64, 8, 8, 3, 2, 1, false, DT_INDEX, true, DT_U8)
QUANT_CONV(quant_conv_to_reals, 2, 64, 64, 8, 8, 3, 1, 1, false, DT_REAL, true, DT_REAL)
QUANT_CONV(quant_conv_signed, 2, 24, 40, 6, 5, 1, 1, 0, true, DT_S8, false, DT_S8)
QUANT_CONV(quant_conv_signed_padded, 2, 32, 32, 6, 5, 3, 1, 1, true, DT_INDEX, false, DT_REAL)
QUANT_CONV(quant_conv_odd, 1, 23, 30, 5, 5, 3, 1, 1, false, DT_INDEX, true, DT_U8)

QUANT_CONV(quant_conv_pixel, 3, 64, 32, 1, 1, 1, 1, 0, false, DT_S8, true, DT_U8)
QUANT_CONV(quant_conv_to_pixel, 2, 32, 48, 2, 2, 3, 2, 1, false, DT_REAL, true, DT_REAL)

static value_id quantise_blocked(struct graph *g)
{
    return to_reals(g, bytes(g, shape4(2, 40, 5, 3), true));
}

static value_id quantise_plain(struct graph *g)
{
    return to_reals(g, bytes(g, shape4(2, 3, 5, 3), false));
}

static value_id quantise_rows(struct graph *g)
{
    return to_reals(g, bytes(g, shape2(4, 7), true));
}

static value_id abs_max(struct graph *g)
{
    value_id x = graph_input(g, "x", DT_REAL, shape4(3, 24, 5, 3));

    x = g_max_pool(g, x, 2, 2, 0);
    return graph_add(g, &op_abs_max, "", &x, 1, NULL);
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
    {"conv_grouped_1x1", conv_grouped_1x1, false},
    {"conv_depthwise_even_strided", conv_depthwise_even_strided, false},
    {"conv_depthwise_odd_channels", conv_depthwise_odd_channels, false},
    {"conv_stem", conv_stem, false},
    {"conv_filled", conv_filled, false},
    {"conv_filled_1x1", conv_filled_1x1, false},
    {"conv_filled_first", conv_filled_first, false},
    {"conv_filled_depthwise", conv_filled_depthwise, false},
    {"conv_pixels_few", conv_pixels_few, false},
    {"conv_pixels_strided", conv_pixels_strided, false},
    {"conv_pixels_many", conv_pixels_many, false},
    {"conv_grouped_across_blocks", conv_grouped_across_blocks, false},
    {"conv_grouped_small", conv_grouped_small, false},
    {"conv_depthwise_tiny", conv_depthwise_tiny, false},
    {"conv_depthwise_one_pixel", conv_depthwise_one_pixel, false},
    {"conv_depthwise_5x5", conv_depthwise_5x5, false},
    {"conv_depthwise_third", conv_depthwise_third, false},
    {"conv_depthwise_skipping", conv_depthwise_skipping, false},
    {"conv_depthwise_large", conv_depthwise_large, false},
    {"conv_depthwise_border", conv_depthwise_border, false},
    {"conv_tiles", conv_tiles, false},
    {"conv_odd_tiles", conv_odd_tiles, false},
    {"conv_many_tiles", conv_many_tiles, false},
    {"conv_unpadded_tiles", conv_unpadded_tiles, false},
    {"conv_widely_padded_tiles", conv_widely_padded_tiles, false},
    {"conv_one_pixel", conv_one_pixel, false},
    {"bn_train_images", bn_train_images, false},
    {"bn_train_plain_images", bn_train_plain_images, false},
    {"bn_train_relu", bn_train_relu, false},
    {"bn_train_relu_filled", bn_train_relu_filled, false},
    {"bn_train_relu_plain", bn_train_relu_plain, false},
    {"bn_train_residual", bn_train_residual, false},
    {"bn_train_residual_plain", bn_train_residual_plain, false},
    {"bn_train_filled", bn_train_filled, false},
    {"bn_train_rows", bn_train_rows, false},
    {"bn_eval_images", bn_eval_images, false},
    {"bn_eval_filled", bn_eval_filled, false},
    {"bn_eval_rows", bn_eval_rows, false},
    {"pool_blocked", pool_blocked, false},
    {"pool_plain", pool_plain, false},
    {"max_pool_even", max_pool_even, false},
    {"max_pool_odd", max_pool_odd, false},
    {"max_pool_overlapping", max_pool_overlapping, false},
    {"max_pool_blocked", max_pool_blocked, false},
    {"max_pool_lopsided", max_pool_lopsided, false},
    {"average_pool_even", average_pool_even, false},
    {"average_pool_padded", average_pool_padded, false},
    {"average_pool_blocked", average_pool_blocked, false},
    {"average_pool_without_padding", average_pool_without_padding, false},
    {"adaptive_pool_overlapping", adaptive_pool_overlapping, false},
    {"adaptive_pool_blocked", adaptive_pool_blocked, false},
    {"adaptive_pool_larger", adaptive_pool_larger, false},
    {"resize_up", resize_up, false},
    {"resize_down", resize_down, false},
    {"resize_blocked", resize_blocked, false},
    {"resize_pixel", resize_pixel, false},
    {"concat_channels", concat_channels, false},
    {"concat_blocked", concat_blocked, false},
    {"concat_halves", concat_halves, false},
    {"concat_last", concat_last, false},
    {"concat_first", concat_first, false},
    {"split_and_shuffle", split_and_shuffle, false},
    {"split_odd", split_odd, false},
    {"slice_rows", slice_rows, false},
    {"pad_images", pad_images, false},
    {"shuffle_three", shuffle_three, false},
    {"shuffle_blocked", shuffle_blocked, false},
    {"shuffle_by_transpose", shuffle_by_transpose, false},
    {"transpose_all", transpose_all, false},
    {"gate_mix", gate_mix, false},
    {"gate_filled", gate_filled, false},
    {"broadcast_channels", broadcast_channels, false},
    {"broadcast_and_back", broadcast_and_back, false},
    {"sample_mean", sample_mean, false},
    {"pool_filled", pool_filled, false},
    {"windows_filled", windows_filled, false},
    {"moves_filled", moves_filled, false},
    {"flatten_filled", flatten_filled, false},
    {"flatten_blocked", flatten_blocked, false},
    {"linear", linear, false},
    {"matmul", matmul, false},
    {"matmul_large", matmul_large, false},
    {"matmul_turned", matmul_turned, false},
    {"residual", residual, false},
    {"relu_plain", relu_plain, false},
    {"arithmetic", arithmetic, false},
    {"roots_and_logs", roots_and_logs, false},
    {"sigmoid", sigmoid, false},
    {"clip_blocked", clip_blocked, false},
    {"clip_plain", clip_plain, false},
    {"clip_rows", clip_rows, false},
    {"maximum", maximum, false},
    {"row_norm", row_norm, false},
    {"sums", sums, false},
    {"row_sum_of_product", row_sum_of_product, false},
    {"log_softmax", log_softmax, false},
    {"cross_entropy", cross_entropy, false},
    {"log_sum_exp_of_others", log_sum_exp_of_others, false},
    {"detached", detached, true},
    {"gather_rows", gather_rows, false},
    {"fused", fused, true},
    {"fused_filled", fused_filled, true},
    {"quant_conv_block", quant_conv_block, true},
    {"quant_conv_signed_residual", quant_conv_signed_residual, true},
    {"quant_conv_narrow", quant_conv_narrow, true},
    {"quant_conv_shortcut", quant_conv_shortcut, true},
    {"quant_conv_strided", quant_conv_strided, true},
    {"quant_conv_to_reals", quant_conv_to_reals, true},
    {"quant_conv_signed", quant_conv_signed, true},
    {"quant_conv_signed_padded", quant_conv_signed_padded, true},
    {"quant_conv_odd", quant_conv_odd, true},
    {"quant_conv_pixel", quant_conv_pixel, true},
    {"quant_conv_to_pixel", quant_conv_to_pixel, true},
    {"quantise_blocked", quantise_blocked, true},
    {"quantise_plain", quantise_plain, true},
    {"quantise_rows", quantise_rows, true},
    {"abs_max", abs_max, true},
};
const size_t n_op_cases = ARRAY_LEN(op_cases);
