/* Wide residual networks (Zagoruyko and Komodakis 2016): batch norm and ReLU stand before the convolution,
 * so that a stage ends without either. */
#include "worker/engine/ops/ops.h"
#include "worker/models/model.h"

/* norm_out: the first batch norm's result. */
static value_id block(const struct net *n, value_id x, int64_t width, int64_t stride,
                      value_id *norm_out)
{
    bool same = net_channels(n, x) == width;
    value_id a, y;

    *norm_out = net_batch_norm(n, "bn1", x);
    a = g_relu(n->g, *norm_out);
    y = net_conv(n, "conv1", a, width, 3, stride, 1);
    y = g_relu(n->g, net_batch_norm(n, "bn2", y));
    y = net_conv(n, "conv2", y, width, 3, 1, 1);
    return g_add(n->g, y, same ? x : net_conv(n, "convShortcut", a, width, 1, stride, 0));
}

/* What stands before the ReLU at a stage's end is the next batch norm's result. */
void wrn_build(const struct net *n, const struct model_def *def, value_id image, int64_t classes,
               struct model_outputs *out)
{
    int blocks = (def->depth - 4) / 6;
    value_id x = net_conv(n, "conv1", image, 16, 3, 1, 1), norm;
    struct net_scope scope;

    *out = (struct model_outputs){0};
    model_tap(out, x, x);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < blocks; i++) {
            value_id stage = x;

            net_enter(&scope, n, "block%d.layer.%d.", k + 1, i);
            x = block(&scope.net, x, (16 << k) * def->width, i == 0 && k > 0 ? 2 : 1, &norm);
            if (i == 0 && k > 0)
                model_tap(out, stage, norm);
        }
    norm = net_batch_norm(n, "bn", x);
    model_tap(out, x, norm);
    x = g_relu(n->g, norm);
    model_head(n, x, "fc", classes, ROLE_LINEAR_WEIGHT, ROLE_ZERO_BIAS, out);
}
