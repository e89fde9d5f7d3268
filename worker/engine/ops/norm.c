#include "worker/engine/ops/ops.h"
#include "worker/engine/ops/util.h"

static const struct attr_spec norm_attrs[] = {
    ATTR_F("epsilon", struct norm_attr, epsilon, 1e-5),
    ATTR_I("relu", struct norm_attr, relu, 0),
    ATTR_END,
};

/* Inputs from..n_in-1 are one number a channel, except the last when it is a gradient like x. */
static bool check_channels(struct graph *g, struct node *n, int n_channel_inputs)
{
    const struct shape *x = in_shape(g, n, 0);
    struct shape c = shape1(x->dim[1]);

    if (x->rank != 4 && !need_rank(g, n, 0, 2))
        return false;
    for (int i = 1; i <= n_channel_inputs; i++)
        if (!need_shape(g, n, i, &c))
            return false;
    return true;
}

static void infer_norm(struct graph *g, struct node *n)
{
    if (check_channels(g, n, n->n_in - 1))
        set_shape(g, n, 0, *in_shape(g, n, 0));
}

static void infer_train(struct graph *g, struct node *n)
{
    infer_norm(g, n);
    set_shape(g, n, 1, *in_shape(g, n, 1));
    set_shape(g, n, 2, *in_shape(g, n, 1));
}

static void infer_fused_train(struct graph *g, struct node *n)
{
    if (!check_channels(g, n, 2) || (n->n_in > 3 && !need_shape(g, n, 3, in_shape(g, n, 0))))
        return;
    set_shape(g, n, 0, *in_shape(g, n, 0));
    set_shape(g, n, 1, *in_shape(g, n, 1));
    set_shape(g, n, 2, *in_shape(g, n, 1));
}

static void infer_norm_grad(struct graph *g, struct node *n)
{
    if (!check_channels(g, n, 3) || !need_shape(g, n, 4, in_shape(g, n, 0)) ||
        (n->n_in > 5 && !need_shape(g, n, 5, in_shape(g, n, 0))))
        return;
    set_shape(g, n, 0, *in_shape(g, n, 0));
    set_shape(g, n, 1, *in_shape(g, n, 1));
    set_shape(g, n, 2, *in_shape(g, n, 1));
}

/* x, gamma, mean, var, dy -> dx, dgamma, dbeta, for both forms. */
static void append_grad(struct graph *g, const struct node *n, const struct op_def *op,
                        value_id mean, value_id var, value_id dy, const bool *need, value_id *din)
{
    value_id in[] = {n->in[0], n->in[1], mean, var, dy};
    value_id dx = graph_add(g, op, "", in, 5, n->attr);

    if (need[0])
        din[0] = dx;
    if (need[1])
        din[1] = graph_out(g, dx, 1);
    if (need[2])
        din[2] = graph_out(g, dx, 2);
}

static void norm_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                      value_id *din)
{
    append_grad(g, n, &op_batch_norm_grad, n->in[3], n->in[4], dout[0], need, din);
}

static void train_grad(struct graph *g, const struct node *n, const value_id *dout,
                       const bool *need, value_id *din)
{
    if (dout[1] >= 0 || dout[2] >= 0)
        graph_fail(g, ERR_UNSUPPORTED, "gradient through the statistics of a batch norm");
    else
        append_grad(g, n, &op_batch_norm_train_grad, n->out[1], n->out[2], dout[0], need, din);
}

const struct op_def op_batch_norm = {
    .name = "BatchNormalization",
    .min_in = 5,
    .max_in = 5,
    .n_out = 1,
    .attrs = norm_attrs,
    .attr_size = sizeof(struct norm_attr),
    .infer = infer_norm,
    .grad = norm_grad,
};

const struct op_def op_batch_norm_grad = {
    .name = "BatchNormGrad",
    .is_private = true,
    .min_in = 5,
    .max_in = 5,
    .n_out = 3,
    .attrs = norm_attrs,
    .attr_size = sizeof(struct norm_attr),
    .infer = infer_norm_grad,
};

const struct op_def op_batch_norm_train = {
    .name = "BatchNormTrain",
    .is_private = true,
    .min_in = 3,
    .max_in = 3,
    .n_out = 3,
    .attrs = norm_attrs,
    .attr_size = sizeof(struct norm_attr),
    .infer = infer_train,
    .grad = train_grad,
};

/* Made by the pass fuse, when gradients are appended already. */
const struct op_def op_fused_batch_norm_train = {
    .name = "FusedBatchNormTrain",
    .is_private = true,
    .min_in = 3,
    .max_in = 4,
    .n_out = 3,
    .attrs = norm_attrs,
    .attr_size = sizeof(struct norm_attr),
    .infer = infer_fused_train,
};

const struct op_def op_batch_norm_train_grad = {
    .name = "BatchNormTrainGrad",
    .is_private = true,
    .min_in = 5,
    .max_in = 6, /* made by the pass fuse */
    .n_out = 3,
    .attrs = norm_attrs,
    .attr_size = sizeof(struct norm_attr),
    .infer = infer_norm_grad,
};

value_id g_batch_norm(struct graph *g, const char *name, value_id x, value_id gamma, value_id beta,
                      value_id mean, value_id var)
{
    return x < 0 ? NO_VALUE
                 : graph_add(g, &op_batch_norm, name, (value_id[]){x, gamma, beta, mean, var}, 5,
                             NULL);
}

value_id g_batch_norm_train(struct graph *g, const char *name, value_id x, value_id gamma,
                            value_id beta)
{
    return x < 0 ? NO_VALUE
                 : graph_add(g, &op_batch_norm_train, name, (value_id[]){x, gamma, beta}, 3, NULL);
}
