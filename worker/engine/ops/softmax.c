#include "worker/engine/ops/ops.h"
#include "worker/engine/ops/util.h"

static void infer_rows_kept(struct graph *g, struct node *n)
{
    if (need_rank(g, n, 0, 2))
        set_shape(g, n, 0, *in_shape(g, n, 0));
}

static void log_softmax_grad(struct graph *g, const struct node *n, const value_id *dout,
                             const bool *need, value_id *din)
{
    (void)need;
    din[0] = node2(g, &op_log_softmax_grad, n->out[0], dout[0], NULL);
}

static void infer_rows(struct graph *g, struct node *n)
{
    if (need_rank(g, n, 0, 2))
        set_shape(g, n, 0, shape1(in_shape(g, n, 0)->dim[0]));
}

/* dx = exp(x - y) dy */
static void log_sum_exp_grad(struct graph *g, const struct node *n, const value_id *dout,
                             const bool *need, value_id *din)
{
    int64_t columns = in_shape(g, n, 0)->dim[1];
    value_id share = g_exp(g, g_sub(g, n->in[0], g_expand(g, n->out[0], 1, columns)));

    (void)need;
    din[0] = g_mul(g, share, g_expand(g, dout[0], 1, columns));
}

const struct op_def op_log_softmax = {
    .name = "LogSoftmax",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .infer = infer_rows_kept,
    .grad = log_softmax_grad,
};

const struct op_def op_log_softmax_grad = {
    .name = "LogSoftmaxGrad",
    .is_private = true,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .infer = infer_rows_kept,
};

const struct op_def op_reduce_log_sum_exp = {
    .name = "ReduceLogSumExp",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .infer = infer_rows,
    .grad = log_sum_exp_grad,
};

value_id g_log_softmax(struct graph *g, value_id x)
{
    return node1(g, &op_log_softmax, x, NULL);
}

value_id g_log_sum_exp(struct graph *g, value_id x)
{
    return node1(g, &op_reduce_log_sum_exp, x, NULL);
}
