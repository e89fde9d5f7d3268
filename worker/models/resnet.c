/* The ResNets for 32x32 images (He et al. 2016, section 4.2): a 3x3 stem, three stages of basic blocks,
 * global average pooling. The x4 forms are wider: stem 32, stages 64, 128, 256. */
#include <stdio.h>

#include "worker/engine/ops/ops.h"
#include "worker/models/model.h"

/* Two convolutions and a shortcut, which is a 1x1 convolution where the shape changes. */
static value_id block(const struct net *n, const char *name, value_id x, int64_t width,
                      int64_t stride, value_id *preact)
{
    char part[64];
    value_id y, shortcut = x;

    snprintf(part, sizeof(part), "%s.conv1", name);
    y = net_conv(n, part, x, width, 3, stride, 1);
    snprintf(part, sizeof(part), "%s.bn1", name);
    y = g_relu(n->g, net_batch_norm(n, part, y));
    snprintf(part, sizeof(part), "%s.conv2", name);
    y = net_conv(n, part, y, width, 3, 1, 1);
    snprintf(part, sizeof(part), "%s.bn2", name);
    y = net_batch_norm(n, part, y);
    if (stride != 1 || (x >= 0 && graph_shape(n->g, x)->dim[1] != width)) {
        snprintf(part, sizeof(part), "%s.downsample.0", name);
        shortcut = net_conv(n, part, x, width, 1, stride, 0);
        snprintf(part, sizeof(part), "%s.downsample.1", name);
        shortcut = net_batch_norm(n, part, shortcut);
    }
    *preact = g_add(n->g, y, shortcut);
    return g_relu(n->g, *preact);
}

static void tap(struct model_outputs *out, value_id after, value_id before)
{
    out->taps[out->n_taps] = after;
    out->preact_taps[out->n_taps++] = before;
}

void resnet_build(const struct net *n, const struct model_def *def, value_id image, int64_t classes,
                  struct model_outputs *out)
{
    int64_t base = def->width == 1 ? 16 : 8 * def->width;
    int64_t widths[3] = {16 * def->width, 32 * def->width, 64 * def->width};
    int blocks = (def->depth - 2) / 6;
    value_id x, preact = NO_VALUE;
    char name[32];

    *out = (struct model_outputs){0};
    x = g_relu(n->g, net_batch_norm(n, "bn1", net_conv(n, "conv1", image, base, 3, 1, 1)));
    tap(out, x, x); /* the references have no tap before the stem's ReLU */
    for (int stage = 0; stage < 3; stage++) {
        for (int i = 0; i < blocks; i++) {
            snprintf(name, sizeof(name), "layer%d.%d", stage + 1, i);
            x = block(n, name, x, widths[stage], i == 0 && stage > 0 ? 2 : 1, &preact);
        }
        tap(out, x, preact);
    }
    out->features = g_flatten(n->g, g_global_average_pool(n->g, x));
    out->logits = net_linear(n, "fc", out->features, classes);
}
