/* Layers with parameters, for models that read like their description. A net declares its parameters
 * in the graph as it goes, in the order and under the names of PyTorch's state_dict. */
#ifndef WORKER_MODELS_NET_H
#define WORKER_MODELS_NET_H

#include "worker/engine/ir/graph.h"

struct net {
    struct graph *g;
    bool training;      /* batch norm by batch statistics, which go to the running ones' sinks */
    const char *prefix; /* in front of every parameter's name */
};

/* name.weight [out, in, k, k], no bias. */
value_id net_conv(const struct net *n, const char *name, value_id x, int64_t out, int64_t kernel,
                  int64_t stride, int64_t pad);
/* name.weight, name.bias, name.running_mean, name.running_var; images or rows. */
value_id net_batch_norm(const struct net *n, const char *name, value_id x);
/* In training: y is a batch norm of x by its batch's statistics (g_batch_norm_train); its mean and unbiased
 * variance are what moves the running ones. */
void net_sink_statistics(struct graph *g, value_id y, value_id x, value_id mean, value_id var);
/* scale x + shift by channel, of images or rows: a batch norm that has nothing to learn, so that it folds
 * into convolutions as any other. */
value_id net_channel_affine(const struct net *n, value_id x, const double *scale,
                            const double *shift);
/* name.weight [out, in], name.bias. */
value_id net_linear(const struct net *n, const char *name, value_id x, int64_t out);

#endif
