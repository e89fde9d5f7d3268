#include "worker/engine/ops/ops.h"
#include "worker/losses/review.h"

static value_id conv_norm(const struct net *n, const char *name, value_id x, int64_t out,
                          int64_t kernel)
{
    const struct conv_form form = {
        .kernel = kernel, .stride = 1, .pad = kernel / 2, .weight = ROLE_CONV_UNIFORM};
    struct net_scope scope;
    const struct net *part = net_enter(&scope, n, "%s.", name);

    return net_batch_norm(part, "1", net_conv_form(part, "0", x, out, &form));
}

/* x sigmoid(z_0) + residual sigmoid(z_1), z two maps that a convolution draws from both. */
static value_id mix(const struct net *n, value_id x, value_id residual)
{
    const struct conv_form form = {
        .kernel = 1, .stride = 1, .weight = ROLE_CONV_SMALL, .bias = ROLE_BIAS};
    value_id both = g_concat(n->g, 1, (value_id[]){x, residual}, 2);
    value_id gates = g_sigmoid(n->g, net_conv_form(n, "att_conv.0", both, 2, &form)), own, other;

    if (gates < 0)
        return NO_VALUE;
    own = g_broadcast(n->g, g_slice(n->g, gates, 1, 0, 1), *graph_shape(n->g, x));
    other = g_broadcast(n->g, g_slice(n->g, gates, 1, 1, 2), *graph_shape(n->g, x));
    own = g_mul(n->g, x, own);
    other = g_mul(n->g, residual, other);
    return g_add(n->g, own, other);
}

value_id abf_build(const struct net *n, const struct abf_form *form, value_id x, value_id *residual)
{
    value_id a = conv_norm(n, "conv1", x, form->mid, 1);

    if (a >= 0 && *residual != NO_VALUE) {
        const struct shape *s = graph_shape(n->g, a);

        a = mix(n, a, g_resize_nearest(n->g, *residual, s->dim[2], s->dim[3]));
    }
    a = g_resize_nearest(n->g, a, form->height, form->width);
    *residual = a;
    return conv_norm(n, "conv2", a, form->out, 3);
}
