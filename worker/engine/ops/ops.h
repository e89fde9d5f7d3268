/* The operators: one row each (defined in the group's file, listed in ops.c), and builders, so that
 * models and losses read like formulas. B batch, C channels or classes, D features. A builder given
 * NO_VALUE returns NO_VALUE. Operators with ONNX names mean what ONNX means; the others are ours.
 *
 * Rows of [B, D] values: reductions run along the last axis. */
#ifndef WORKER_ENGINE_OPS_OPS_H
#define WORKER_ENGINE_OPS_OPS_H

#include <stddef.h>

#include "worker/engine/ir/op.h"

extern const struct op_def *const op_registry[];
extern const size_t op_registry_len;

/* conv.c */
struct conv_attr {
    int64_t strides[2];
    int64_t pads[4]; /* top, left, bottom, right */
    int64_t group;
    int64_t input[2];  /* ConvInputGrad: height and width of the gradient */
    int64_t kernel[2]; /* ConvWeightGrad: of the weights; others read them from the weights */
    int64_t relu;      /* FusedConv: clamp at 0 at the end */
};
extern const struct op_def op_conv;            /* x, w[, b] */
extern const struct op_def op_fused_conv;      /* x, w, b[, residual]: relu?(conv + b + residual) */
extern const struct op_def op_conv_input_grad; /* w, dy */
extern const struct op_def op_conv_weight_grad; /* x, dy */
/* Square kernel taken from w's shape; bias may be NO_VALUE. */
value_id g_conv(struct graph *g, const char *name, value_id x, value_id w, value_id bias,
                int64_t stride, int64_t pad, int64_t group);

/* quant.c: numbers as bytes. A byte q stands for q times a step; sums of products of bytes are exact, and what is made
 * of a sum is computed in float on every back end, so that all agree to the last bit. */
struct quantise_attr {
    int64_t is_signed; /* to DT_S8, instead of DT_U8 */
    int64_t axis;      /* that scale and shift run along */
};
struct dequantise_attr {
    double scale;
};
struct quant_conv_attr {
    struct conv_attr conv;
    double residual; /* what a unit of the residual is worth */
    int64_t to;      /* enum dtype of the output; bytes are rounded, half to even, and saturate */
};
extern const struct op_def op_quantise; /* x, scale, shift: the bytes nearest to x scale + shift */
extern const struct op_def op_dequantise; /* q: q scale */
extern const struct op_def
    op_quant_conv; /* bytes x, bytes w, scale, bias[, residual, as wide as the output], of which scale is a constant:
                      relu?((conv + bias) scale + residual), the residual times its worth added in one rounding */
extern const struct op_def
    op_abs_max; /* [N,...] -> [N], greatest magnitude in each sample; infinite also where
                                         there is no number */

/* norm.c: over N, H, W of [N,C,H,W] or over B of [B,C] */
struct norm_attr {
    double epsilon;
    int64_t relu; /* FusedBatchNormTrain: clamp at 0 at the end */
};
extern const struct op_def op_batch_norm;       /* x, gamma, beta, mean, var */
extern const struct op_def op_batch_norm_grad;  /* x, gamma, mean, var, dy -> dx, dgamma, dbeta */
extern const struct op_def op_batch_norm_train; /* x, gamma, beta -> y, mean, var (biased) */
extern const struct op_def
    op_fused_batch_norm_train; /* the same[, residual]: relu?(y + residual) */
extern const struct op_def
    op_batch_norm_train_grad; /* x, gamma, mean, var, dy[, y] -> dx, dgamma, dbeta; with y, what comes back
                                 through its ReLU: dy where y > 0 */
value_id g_batch_norm(struct graph *g, const char *name, value_id x, value_id gamma, value_id beta,
                      value_id mean, value_id var);
/* Outputs 1 and 2 (graph_out) are the batch's mean and biased variance. */
value_id g_batch_norm_train(struct graph *g, const char *name, value_id x, value_id gamma,
                            value_id beta);

/* pool.c */
struct pool_grad_attr {
    int64_t input[2]; /* height and width */
};
extern const struct op_def op_global_average_pool;      /* [N,C,H,W] -> [N,C,1,1] */
extern const struct op_def op_global_average_pool_grad; /* dy */
value_id g_global_average_pool(struct graph *g, value_id x);

/* window.c: [N,C,H,W], each channel by itself; an output pixel is made of a window of the input's */
struct window_attr {
    int64_t kernel_shape[2], strides[2];
    int64_t pads[4];           /* top, left, bottom, right */
    int64_t count_include_pad; /* AveragePool: padding counts as zeros */
    int64_t output[2];         /* height and width, of AdaptiveAveragePool and ResizeNearest */
    int64_t input[2];          /* of the gradients: height and width of what they return */
};
extern const struct op_def op_max_pool;
extern const struct op_def op_max_pool_grad; /* x, dy; the window's first maximum takes it all */
extern const struct op_def op_average_pool;
extern const struct op_def op_average_pool_grad; /* dy */
extern const struct op_def
    op_adaptive_average_pool; /* cell i of l: floor(i h/l) up to ceil((i+1) h/l) */
extern const struct op_def op_adaptive_average_pool_grad; /* dy */
extern const struct op_def op_resize_nearest;             /* pixel i of l: floor(i h/l) */
extern const struct op_def op_resize_nearest_grad;        /* dy */
/* What output i along one axis (0: rows, 1: columns) is made of, in an input of n: the pixels from lo up to
 * hi, and what their sum is divided by, the product of both axes' `size`. */
struct window {
    int64_t lo, hi, size;
};
struct window window_of(const struct op_def *op, const struct window_attr *a, int axis, int64_t i,
                        int64_t n);
value_id g_max_pool(struct graph *g, value_id x, int64_t kernel, int64_t stride, int64_t pad);
/* Padding counts as zeros. */
value_id g_average_pool(struct graph *g, value_id x, int64_t kernel, int64_t stride, int64_t pad);
/* Both give x itself back where it has that size. */
value_id g_adaptive_average_pool(struct graph *g, value_id x, int64_t height, int64_t width);
value_id g_resize_nearest(struct graph *g, value_id x, int64_t height, int64_t width);

/* move.c: values in other places */
struct concat_attr {
    int64_t axis;
};
struct slice_attr {
    int64_t axis, start, end; /* start up to end */
};
struct pad_attr {
    int64_t axis, before, after;
};
struct transpose_attr {
    int64_t perm[SHAPE_MAX]; /* dimension i of the result is dimension perm[i] of x */
};
struct shuffle_attr {
    int64_t group;
};
extern const struct op_def op_concat; /* 1 to NODE_MAX_IN values */
extern const struct op_def op_slice;
extern const struct op_def op_pad_axis; /* with zeros */
extern const struct op_def op_transpose;
extern const struct op_def
    op_channel_shuffle; /* [N, g, C/g, H, W] -> transpose 1 and 2 -> flatten */
value_id g_concat(struct graph *g, int64_t axis, const value_id *x, int n);
value_id g_slice(struct graph *g, value_id x, int64_t axis, int64_t start, int64_t end);
/* Parts of these sizes along the axis, which they fill. */
void g_split(struct graph *g, value_id x, int64_t axis, const int64_t *sizes, int n, value_id *out);
value_id g_pad_axis(struct graph *g, value_id x, int64_t axis, int64_t before, int64_t after);
value_id g_transpose(struct graph *g, value_id x, const int64_t *perm);
value_id g_channel_shuffle(struct graph *g, value_id x, int64_t groups);

/* broadcast.c: a dimension of 1 repeated, and its opposite. With Broadcast, element-by-element operators
 * take operands of different shapes. */
struct shape_attr {
    int64_t dims[SHAPE_MAX]; /* of the result; the rank stays */
};
extern const struct op_def op_broadcast;
extern const struct op_def op_sum_to; /* sums along every dimension that becomes 1 */
/* x itself where it has that shape. */
value_id g_broadcast(struct graph *g, value_id x, struct shape to);
value_id g_sum_to(struct graph *g, value_id x, struct shape to);

/* gemm.c: op(a) op(b) [+ bias along rows] */
struct gemm_attr {
    int64_t trans_a, trans_b;
};
extern const struct op_def op_gemm;
value_id g_gemm(struct graph *g, const char *name, value_id a, value_id b, value_id bias,
                bool trans_a, bool trans_b);

/* eltwise.c: operands of equal shape */
struct affine_attr {
    double alpha, beta;
};
struct clip_attr {
    double min, max;
};
extern const struct op_def op_add, op_sub, op_mul, op_div, op_exp, op_log, op_sqrt, op_relu;
extern const struct op_def op_relu_grad; /* y, dy: dy where y > 0 */
extern const struct op_def op_clip;
extern const struct op_def op_clip_grad; /* y, dy: dy where min < y < max */
extern const struct op_def op_sigmoid;
extern const struct op_def op_sigmoid_grad; /* y, dy */
extern const struct op_def op_affine;       /* alpha x + beta */
extern const struct op_def op_max; /* of two; a tie counts as the first, also for the gradient */
extern const struct op_def op_max_grad; /* a, b, dy -> da, db */
extern const struct op_def op_detach;   /* x, through which no gradient goes back */
value_id g_add(struct graph *g, value_id a, value_id b);
value_id g_sub(struct graph *g, value_id a, value_id b);
value_id g_mul(struct graph *g, value_id a, value_id b);
value_id g_div(struct graph *g, value_id a, value_id b);
value_id g_max(struct graph *g, value_id a, value_id b);
value_id g_exp(struct graph *g, value_id x);
value_id g_log(struct graph *g, value_id x);
value_id g_sqrt(struct graph *g, value_id x);
value_id g_relu(struct graph *g, value_id x);
value_id g_clip(struct graph *g, value_id x, double min, double max); /* ReLU6: 0, 6 */
value_id g_sigmoid(struct graph *g, value_id x);
value_id g_detach(struct graph *g, value_id x);
value_id g_affine(struct graph *g, double alpha, value_id x, double beta);
value_id g_scale(struct graph *g, value_id x, double alpha);

/* reduce.c */
struct axis_attr {
    int64_t axis;
    int64_t size; /* Expand: of the new axis */
};
extern const struct op_def op_reduce_sum;     /* [B,D] along axis 0 -> [D] or axis 1 -> [B] */
extern const struct op_def op_reduce_l2;      /* [B,D] -> [B]: Euclidean norm of each row */
extern const struct op_def op_reduce_l2_grad; /* x, y, dy: dy x / y, and 0 where y = 0 */
extern const struct op_def op_expand;         /* undoes the shape of ReduceSum by repeating */
extern const struct op_def op_channel_sum;    /* [N,C,H,W] -> [C] */
value_id g_row_sum(struct graph *g, value_id x);
value_id g_column_sum(struct graph *g, value_id x);
value_id g_row_norm(struct graph *g, value_id x);
/* [B] -> [B,size] along axis 1, [size,B] along axis 0. */
value_id g_expand(struct graph *g, value_id x, int64_t axis, int64_t size);
value_id g_channel_sum(struct graph *g, value_id x);
value_id g_sample_mean(struct graph *g, value_id x); /* [N,C,H,W] -> [N] */

/* softmax.c: along the last axis of [B,C] */
extern const struct op_def op_log_softmax;
extern const struct op_def op_log_softmax_grad;   /* y, dy */
extern const struct op_def op_reduce_log_sum_exp; /* [B,C] -> [B] */
value_id g_log_softmax(struct graph *g, value_id x);
value_id g_log_sum_exp(struct graph *g, value_id x);

/* gather.c */
struct pick_grad_attr {
    int64_t classes;
};
extern const struct op_def op_gather;    /* table [C,D], index [B] -> rows [B,D] */
extern const struct op_def op_pick;      /* x [B,C], index [B] -> x[i, index_i], [B] */
extern const struct op_def op_pick_grad; /* index, dy -> [B,C] */
struct put_attr {
    double value;
};
extern const struct op_def op_put; /* x [B,C], index [B] -> x with value at x[i, index_i] */
value_id g_gather(struct graph *g, value_id table, value_id index);
value_id g_pick(struct graph *g, value_id x, value_id index);
value_id g_put(struct graph *g, value_id x, value_id index, double value);

/* view.c: the same bytes under another shape */
struct view_attr {
    int64_t rank, dims[SHAPE_MAX];
};
extern const struct op_def op_flatten; /* [N,C,H,W] -> [N,CHW] */
extern const struct op_def op_view;
value_id g_flatten(struct graph *g, value_id x);
value_id g_view(struct graph *g, value_id x, struct shape s);

/* reorder.c: the same values in another memory layout; only the layout pass makes these */
extern const struct op_def op_reorder;

#endif
