/* ResNets (He et al. 2016): a stem, three or four stages of residual blocks, global average pooling and a
 * linear layer. Their names are PyTorch's; where an image is halved, the 3x3 convolution does it. */
#include <string.h>

#include "proto/base/mem.h"
#include "worker/engine/ops/ops.h"
#include "worker/models/model.h"

enum {
    MAX_STAGES = 4
};

struct stages {
    int n, blocks[MAX_STAGES];
    int64_t widths[MAX_STAGES];
    int64_t expansion;    /* of a block: 1, two 3x3; 4, 1x1, 3x3 and 1x1 to four times the width */
    const char *shortcut; /* what the convolution beside a block is called */
    const char *classifier;
};

static value_id main_path(const struct net *n, value_id x, int64_t width, int64_t expansion,
                          int64_t stride)
{
    value_id y;

    if (expansion == 1) {
        y = g_relu(n->g, net_conv_bn(n, "conv1", "bn1", x, width, 3, stride));
        return net_conv_bn(n, "conv2", "bn2", y, width, 3, 1);
    }
    y = g_relu(n->g, net_conv_bn(n, "conv1", "bn1", x, width, 1, 1));
    y = g_relu(n->g, net_conv_bn(n, "conv2", "bn2", y, width, 3, stride));
    return net_conv_bn(n, "conv3", "bn3", y, width * expansion, 1, 1);
}

/* Main path and shortcut, which is a 1x1 convolution where the shape changes; before the ReLU. */
static value_id block(const struct net *n, const struct stages *s, value_id x, int64_t width,
                      int64_t stride)
{
    value_id y = main_path(n, x, width, s->expansion, stride), shortcut = x;
    struct net_scope scope;

    if (stride != 1 || net_channels(n, x) != width * s->expansion)
        shortcut = net_conv_bn(net_enter(&scope, n, "%s.", s->shortcut), "0", "1", x,
                               width * s->expansion, 1, stride);
    return g_add(n->g, y, shortcut);
}

/* Everything behind the stem. */
static void finish(const struct net *n, const struct stages *s, value_id x, int64_t classes,
                   struct model_outputs *out)
{
    value_id preact = NO_VALUE;
    struct net_scope scope;

    for (int k = 0; k < s->n; k++) {
        for (int i = 0; i < s->blocks[k]; i++) {
            preact = block(net_enter(&scope, n, "layer%d.%d.", k + 1, i), s, x, s->widths[k],
                           i == 0 && k > 0 ? 2 : 1);
            x = g_relu(n->g, preact);
        }
        model_tap(out, x, preact);
    }
    model_head(n, x, s->classifier, classes, ROLE_LINEAR_WEIGHT, ROLE_BIAS, out);
}

static value_id stem(const struct net *n, value_id image, int64_t width, int64_t kernel,
                     int64_t stride, struct model_outputs *out)
{
    value_id x = g_relu(n->g, net_conv_bn(n, "conv1", "bn1", image, width, kernel, stride));

    model_tap(out, x, x); /* the references have no tap before the stem's ReLU */
    return x;
}

/* For 32x32 images, section 4.2. The x4 forms are wider: stem 32, stages 64, 128, 256. */
void resnet_build(const struct net *n, const struct model_def *def, value_id image, int64_t classes,
                  struct model_outputs *out)
{
    int blocks = (def->depth - 2) / 6;
    const struct stages s = {.n = 3,
                             .blocks = {blocks, blocks, blocks},
                             .widths = {16 * def->width, 32 * def->width, 64 * def->width},
                             .expansion = 1,
                             .shortcut = "downsample",
                             .classifier = "fc"};

    *out = (struct model_outputs){0};
    finish(n, &s, stem(n, image, def->width == 1 ? 16 : 8 * def->width, 3, 1, out), classes, out);
}

/* Four stages, by depth. */
static struct stages four_stages(int depth)
{
    static const struct {
        int depth, expansion, blocks[MAX_STAGES];
    } forms[] = {{18, 1, {2, 2, 2, 2}},
                 {34, 1, {3, 4, 6, 3}},
                 {50, 4, {3, 4, 6, 3}},
                 {101, 4, {3, 4, 23, 3}},
                 {152, 4, {3, 8, 36, 3}}};
    struct stages s = {.n = 4, .widths = {64, 128, 256, 512}};

    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (forms[i].depth == depth) {
            s.expansion = forms[i].expansion;
            memcpy(s.blocks, forms[i].blocks, sizeof(s.blocks));
        }
    return s;
}

/* For ImageNet, table 1, as in torchvision. */
void resnet_imagenet_build(const struct net *n, const struct model_def *def, value_id image,
                           int64_t classes, struct model_outputs *out)
{
    struct stages s = four_stages(def->depth);
    value_id x;

    s.shortcut = "downsample";
    s.classifier = "fc";
    *out = (struct model_outputs){0};
    x = g_max_pool(n->g, stem(n, image, 64, 7, 2, out), 3, 2, 1);
    finish(n, &s, x, classes, out);
}

/* The same for 32x32 images: a 3x3 stem that halves nothing. */
void resnet_cifar_build(const struct net *n, const struct model_def *def, value_id image,
                        int64_t classes, struct model_outputs *out)
{
    struct stages s = four_stages(def->depth);

    s.shortcut = "shortcut";
    s.classifier = "linear";
    *out = (struct model_outputs){0};
    finish(n, &s, stem(n, image, 64, 3, 1, out), classes, out);
}
