/* ShuffleNets for 32x32 images: convolutions over parts of the channels, which are then mixed. Version 1
 * (Zhang et al. 2018) has 3 groups, version 2 (Ma et al. 2018) cuts the channels in halves. */
#include "proto/base/mem.h"
#include "worker/engine/ops/ops.h"
#include "worker/models/model.h"

enum {
    STAGES = 3,
    GROUPS = 3,
    STEM = 24
};

static value_id conv_bn(const struct net *n, const char *conv, const char *bn, value_id x,
                        int64_t out, int64_t groups)
{
    const struct conv_form form = {.kernel = 1, .stride = 1, .groups = groups};

    return net_batch_norm(n, bn, net_conv_form(n, conv, x, out, &form));
}

/* Neither halves the image nor pools, unlike the one for ImageNet. */
static value_id stem(const struct net *n, value_id image, struct model_outputs *out)
{
    value_id x = g_relu(n->g, conv_bn(n, "conv1", "bn1", image, STEM, 1));

    model_tap(out, x, x);
    return x;
}

/* Before the last ReLU. A block that halves the image sets what it makes beside its pooled input. */
static value_id v1_block(const struct net *n, value_id x, int64_t width, int64_t stride)
{
    int64_t in = net_channels(n, x), made = stride == 2 ? width - in : width;
    int64_t groups = in == STEM ? 1 : GROUPS; /* the stem's few channels are not cut */
    value_id y = g_relu(n->g, conv_bn(n, "conv1", "bn1", x, made / 4, groups));

    y = g_channel_shuffle(n->g, y, groups);
    y = g_relu(n->g, net_depthwise_bn(n, "conv2", "bn2", y, stride));
    y = conv_bn(n, "conv3", "bn3", y, made, GROUPS);
    if (stride == 1)
        return g_add(n->g, y, x);
    return g_concat(n->g, 1, (value_id[]){y, g_average_pool(n->g, x, 3, 2, 1)}, 2);
}

void shufflenetv1_build(const struct net *n, const struct model_def *def, value_id image,
                        int64_t classes, struct model_outputs *out)
{
    static const int blocks[STAGES] = {4, 8, 4};
    value_id x, preact = NO_VALUE;
    struct net_scope scope;

    (void)def;
    *out = (struct model_outputs){0};
    x = stem(n, image, out);
    for (int k = 0; k < STAGES; k++) {
        for (int i = 0; i < blocks[k]; i++) {
            preact =
                v1_block(net_enter(&scope, n, "layer%d.%d.", k + 1, i), x, 240 << k, i ? 1 : 2);
            x = g_relu(n->g, preact);
        }
        model_tap(out, x, preact);
    }
    model_head(n, x, "fc", classes, ROLE_LINEAR_WEIGHT, ROLE_BIAS, out);
}

/* Halves the image and makes `width` channels, half of them by each of two paths. */
static value_id v2_down(const struct net *n, value_id x, int64_t width)
{
    value_id left, right;

    left = net_depthwise_bn(n, "conv1", "bn1", x, 2);
    left = g_relu(n->g, conv_bn(n, "conv2", "bn2", left, width / 2, 1));
    right = g_relu(n->g, conv_bn(n, "conv3", "bn3", x, width / 2, 1));
    right = net_depthwise_bn(n, "conv4", "bn4", right, 2);
    right = g_relu(n->g, conv_bn(n, "conv5", "bn5", right, width / 2, 1));
    return g_channel_shuffle(n->g, g_concat(n->g, 1, (value_id[]){left, right}, 2), 2);
}

/* Works on the second half of the channels. preact, where it is not NULL, gets the result before ReLU and
 * mixing. */
static value_id v2_block(const struct net *n, value_id x, value_id *preact)
{
    int64_t half = net_channels(n, x) / 2;
    value_id part[2], y;

    g_split(n->g, x, 1, (int64_t[]){half, half}, 2, part);
    y = g_relu(n->g, conv_bn(n, "conv1", "bn1", part[1], half, 1));
    y = net_depthwise_bn(n, "conv2", "bn2", y, 1);
    y = conv_bn(n, "conv3", "bn3", y, half, 1);
    if (preact)
        *preact = g_concat(n->g, 1, (value_id[]){part[0], y}, 2);
    y = g_concat(n->g, 1, (value_id[]){part[0], g_relu(n->g, y)}, 2);
    return g_channel_shuffle(n->g, y, 2);
}

struct v2_form {
    int tenths; /* of the usual width */
    int blocks[STAGES];
    int64_t widths[STAGES], last;
};

static const struct v2_form *v2_find(int tenths)
{
    static const struct v2_form forms[] = {{2, {3, 3, 3}, {40, 80, 160}, 512},
                                           {10, {3, 7, 3}, {116, 232, 464}, 1024}};
    const struct v2_form *f = forms;

    while (f->tenths != tenths)
        f++;
    return f;
}

void shufflenetv2_build(const struct net *n, const struct model_def *def, value_id image,
                        int64_t classes, struct model_outputs *out)
{
    const struct v2_form *f = v2_find(def->width);
    value_id x, preact = NO_VALUE;
    struct net_scope scope;

    *out = (struct model_outputs){0};
    x = stem(n, image, out);
    for (int k = 0; k < STAGES; k++) {
        x = v2_down(net_enter(&scope, n, "layer%d.0.", k + 1), x, f->widths[k]);
        for (int i = 1; i <= f->blocks[k]; i++)
            x = v2_block(net_enter(&scope, n, "layer%d.%d.", k + 1, i), x,
                         i == f->blocks[k] ? &preact : NULL);
        model_tap(out, x, preact);
    }
    x = g_relu(n->g, conv_bn(n, "conv2", "bn2", x, f->last, 1));
    model_head(n, x, "fc", classes, ROLE_LINEAR_WEIGHT, ROLE_BIAS, out);
}
