/* VGG for 32x32 images, with batch norm: five blocks of convolutions, pooled between them, and one linear
 * layer. */
#include <stdio.h>

#include "proto/base/mem.h"
#include "worker/engine/ops/ops.h"
#include "worker/models/model.h"

/* Without the last ReLU. Numbers count the layers of a block, ReLUs among them. */
static value_id block(const struct net *n, value_id x, int convs, int64_t width)
{
    const struct conv_form form = {.kernel = 3, .stride = 1, .pad = 1, .bias = ROLE_ZERO_BIAS};
    char conv[16], norm[16];

    for (int i = 0; i < convs; i++) {
        snprintf(conv, sizeof(conv), "%d", 3 * i);
        snprintf(norm, sizeof(norm), "%d", 3 * i + 1);
        x = net_batch_norm(n, norm, net_conv_form(n, conv, i ? g_relu(n->g, x) : x, width, &form));
    }
    return x;
}

/* Blocks of one convolution (depth 8) or two (depth 13). Images of 64 and more are halved once more. */
void vgg_build(const struct net *n, const struct model_def *def, value_id image, int64_t classes,
               struct model_outputs *out)
{
    static const int64_t widths[] = {64, 128, 256, 512, 512};
    int convs = (def->depth - 3) / 5;
    int64_t size = image < 0 ? 0 : graph_shape(n->g, image)->dim[2];
    value_id x = image, preact;
    struct net_scope scope;

    *out = (struct model_outputs){0};
    for (size_t k = 0; k < ARRAY_LEN(widths); k++) {
        if (k && (k < 4 || size >= 64))
            x = g_max_pool(n->g, x, 2, 2, 0);
        preact = block(net_enter(&scope, n, "block%zu.", k), x, convs, widths[k]);
        x = g_relu(n->g, preact);
        model_tap(out, x, k ? preact : x);
    }
    model_head(n, x, "classifier", classes, ROLE_LINEAR_SMALL, ROLE_ZERO_BIAS, out);
}
