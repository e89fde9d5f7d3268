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

value_id g_log_softmax(struct graph *g, value_id x)
{
    return node1(g, &op_log_softmax, x, NULL);
}
