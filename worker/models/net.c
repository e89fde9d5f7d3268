#include "worker/models/net.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/engine/ops/ops.h"

const struct net *net_enter(struct net_scope *s, const struct net *n, const char *fmt, ...)
{
    int at = snprintf(s->prefix, sizeof(s->prefix), "%s", n->prefix);
    va_list ap;

    va_start(ap, fmt);
    at += vsnprintf(s->prefix + at, sizeof(s->prefix) - (size_t)at, fmt, ap);
    va_end(ap);
    ASSERT((size_t)at < sizeof(s->prefix));
    s->net = *n;
    s->net.prefix = s->prefix;
    return &s->net;
}

enum {
    NAME_TEXT = 128
};

static const char *full_name(const struct net *n, const char *name, char text[NAME_TEXT])
{
    int length = snprintf(text, NAME_TEXT, "%s%s", n->prefix, name);

    ASSERT(length < NAME_TEXT);
    return text;
}

static value_id declare(const struct net *n, const char *name, const char *part,
                        enum param_role role, struct shape s)
{
    char *full = str_fmt("%s%s.%s", n->prefix, name, part);
    value_id v = graph_param(n->g, full, role, s);

    if (n->training && n->g->values.at[v].kind == VALUE_PARAM)
        graph_want_grad(n->g, v);
    free(full);
    return v;
}

int64_t net_channels(const struct net *n, value_id x)
{
    return x < 0 ? 0 : graph_shape(n->g, x)->dim[1];
}

value_id net_conv_form(const struct net *n, const char *name, value_id x, int64_t out,
                       const struct conv_form *form)
{
    int64_t groups = form->groups ? form->groups : 1;
    value_id w, b = NO_VALUE;
    char full[NAME_TEXT];

    if (x < 0)
        return NO_VALUE;
    w = declare(n, name, "weight", form->weight ? form->weight : ROLE_CONV_WEIGHT,
                shape4(out, net_channels(n, x) / groups, form->kernel, form->kernel));
    if (form->bias != ROLE_NONE)
        b = declare(n, name, "bias", form->bias, shape1(out));
    return g_conv(n->g, full_name(n, name, full), x, w, b, form->stride, form->pad, groups);
}

value_id net_conv(const struct net *n, const char *name, value_id x, int64_t out, int64_t kernel,
                  int64_t stride, int64_t pad)
{
    const struct conv_form form = {.kernel = kernel, .stride = stride, .pad = pad};

    return net_conv_form(n, name, x, out, &form);
}

void net_sink_statistics(struct graph *g, value_id y, value_id x, value_id mean, value_id var)
{
    const struct shape *s = graph_shape(g, x);
    double count = (double)(shape_count(s) / s->dim[1]);

    if (count < 2) {
        graph_fail(g, ERR_INVALID, "a training batch norm would see a single value per channel");
        return;
    }
    graph_sink(g, graph_out(g, y, 1), mean);
    graph_sink(g, g_scale(g, graph_out(g, y, 2), count / (count - 1)), var);
}

value_id net_batch_norm(const struct net *n, const char *name, value_id x)
{
    value_id gamma, beta, mean, var, y;
    char full[NAME_TEXT];
    struct shape c;

    if (x < 0)
        return NO_VALUE;
    full_name(n, name, full);
    c = shape1(net_channels(n, x));
    gamma = declare(n, name, "weight", ROLE_BN_GAMMA, c);
    beta = declare(n, name, "bias", ROLE_BN_BETA, c);
    mean = declare(n, name, "running_mean", ROLE_BN_MEAN, c);
    var = declare(n, name, "running_var", ROLE_BN_VAR, c);
    if (!n->training)
        return g_batch_norm(n->g, full, x, gamma, beta, mean, var);
    y = g_batch_norm_train(n->g, full, x, gamma, beta);
    if (y >= 0)
        net_sink_statistics(n->g, y, x, mean, var);
    return y;
}

value_id net_conv_bn(const struct net *n, const char *conv, const char *norm, value_id x,
                     int64_t out, int64_t kernel, int64_t stride)
{
    return net_batch_norm(n, norm, net_conv(n, conv, x, out, kernel, stride, kernel / 2));
}

value_id net_depthwise_bn(const struct net *n, const char *conv, const char *norm, value_id x,
                          int64_t stride)
{
    int64_t channels = net_channels(n, x);
    const struct conv_form form = {.kernel = 3, .stride = stride, .pad = 1, .groups = channels};

    return net_batch_norm(n, norm, net_conv_form(n, conv, x, channels, &form));
}

value_id net_linear(const struct net *n, const char *name, value_id x, int64_t out,
                    enum param_role weight, enum param_role bias)
{
    value_id w, b;
    char full[NAME_TEXT];

    if (x < 0)
        return NO_VALUE;
    w = declare(n, name, "weight", weight, shape2(out, net_channels(n, x)));
    b = declare(n, name, "bias", bias, shape1(out));
    return g_gemm(n->g, full_name(n, name, full), x, w, b, false, true);
}

value_id net_channel_affine(const struct net *n, value_id x, const double *scale,
                            const double *shift)
{
    static const char *const parts[] = {"scale", "shift", "mean", "var"};
    const struct norm_attr exact = {.epsilon = 0};
    const size_t id = n->g->nodes.n;
    value_id in[5] = {x};
    int64_t channels;

    if (x < 0)
        return NO_VALUE;
    channels = graph_shape(n->g, x)->dim[1];
    for (int i = 0; i < 4; i++) {
        float *data = NEW_ARRAY(float, (size_t)channels);
        char name[32];

        for (int64_t c = 0; c < channels; c++)
            data[c] = (float)(i == 0 ? scale[c] : i == 1 ? shift[c] : i == 2 ? 0 : 1);
        /* An exported file has no values without a name. */
        snprintf(name, sizeof(name), "affine%zu.%s", id, parts[i]);
        in[1 + i] = graph_const(n->g, name, shape1(channels), data);
    }
    return graph_add(n->g, &op_batch_norm, "", in, 5, &exact);
}
