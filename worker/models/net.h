/* Layers with parameters, for models that read like their description. A net declares its parameters
 * in the graph as it goes, in the order and under the names of PyTorch's state_dict. A layer that gets
 * NO_VALUE declares nothing and returns NO_VALUE. */
#ifndef WORKER_MODELS_NET_H
#define WORKER_MODELS_NET_H

#include "worker/engine/ir/graph.h"

struct net {
    struct graph *g;
    bool training;      /* batch norm by batch statistics, which go to the running ones' sinks */
    const char *prefix; /* in front of every parameter's name, e.g. "layer1.0." */
};

/* A net whose names begin with one more part. It must outlive the layers that are made with it. */
struct net_scope {
    struct net net;
    char prefix[64];
};
const struct net *net_enter(struct net_scope *s, const struct net *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

struct conv_form {
    int64_t kernel, stride, pad;
    int64_t groups;         /* 0: 1 */
    enum param_role weight; /* ROLE_NONE: ROLE_CONV_WEIGHT */
    enum param_role bias;   /* ROLE_NONE: there is no bias */
};
/* name.weight [out, in / groups, kernel, kernel], and name.bias if the form says so. */
value_id net_conv_form(const struct net *n, const char *name, value_id x, int64_t out,
                       const struct conv_form *form);
/* The usual one: one group, no bias. */
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
/* A convolution, padded by half its kernel, and the batch norm behind it. */
value_id net_conv_bn(const struct net *n, const char *conv, const char *norm, value_id x,
                     int64_t out, int64_t kernel, int64_t stride);
/* The same with one 3x3 filter for each channel. */
value_id net_depthwise_bn(const struct net *n, const char *conv, const char *norm, value_id x,
                          int64_t stride);
/* name.weight [out, in], name.bias, with their first values. */
value_id net_linear(const struct net *n, const char *name, value_id x, int64_t out,
                    enum param_role weight, enum param_role bias);

int64_t net_channels(const struct net *n, value_id x); /* 0 of NO_VALUE */

#endif
