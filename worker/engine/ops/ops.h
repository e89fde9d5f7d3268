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
    op_batch_norm_train_grad; /* x, gamma, mean, var, dy -> dx, dgamma, dbeta */
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
extern const struct op_def op_add, op_sub, op_mul, op_div, op_exp, op_relu;
extern const struct op_def op_relu_grad; /* y, dy: dy where y > 0 */
extern const struct op_def op_affine;    /* alpha x + beta */
extern const struct op_def op_max; /* of two; a tie counts as the first, also for the gradient */
extern const struct op_def op_max_grad; /* a, b, dy -> da, db */
value_id g_add(struct graph *g, value_id a, value_id b);
value_id g_sub(struct graph *g, value_id a, value_id b);
value_id g_mul(struct graph *g, value_id a, value_id b);
value_id g_div(struct graph *g, value_id a, value_id b);
value_id g_max(struct graph *g, value_id a, value_id b);
value_id g_exp(struct graph *g, value_id x);
value_id g_relu(struct graph *g, value_id x);
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
value_id g_channel_sum(struct graph *g, value_id x);

/* softmax.c: along the last axis of [B,C] */
extern const struct op_def op_log_softmax;
extern const struct op_def op_log_softmax_grad; /* y, dy */
value_id g_log_softmax(struct graph *g, value_id x);

/* gather.c */
struct pick_grad_attr {
    int64_t classes;
};
extern const struct op_def op_gather;    /* table [C,D], index [B] -> rows [B,D] */
extern const struct op_def op_pick;      /* x [B,C], index [B] -> x[i, index_i], [B] */
extern const struct op_def op_pick_grad; /* index, dy -> [B,C] */
value_id g_gather(struct graph *g, value_id table, value_id index);
value_id g_pick(struct graph *g, value_id x, value_id index);

/* view.c: the same bytes under another shape */
struct view_attr {
    int64_t rank, dims[SHAPE_MAX];
};
extern const struct op_def op_flatten; /* [N,C,H,W] -> [N,CHW] */
extern const struct op_def op_view;
value_id g_flatten(struct graph *g, value_id x);

/* reorder.c: the same values in another memory layout; only the layout pass makes these */
extern const struct op_def op_reorder;

#endif
