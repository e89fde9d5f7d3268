/* MobileNets: a 3x3 filter for each channel, then a 1x1 convolution over the channels (version 1, Howard
 * et al. 2017); version 2 (Sandler et al. 2018) does so inside of blocks that are wide in the middle. */
#include "proto/base/mem.h"
#include "worker/engine/ops/ops.h"
#include "worker/models/model.h"

void mobilenetv1_build(const struct net *n, const struct model_def *def, value_id image,
                       int64_t classes, struct model_outputs *out)
{
    static const struct {
        int64_t width, stride;
        bool tap; /* a stage ends */
    } pairs[] = {
        {64, 1, false},  {128, 2, false},  {128, 1, true},  {256, 2, false}, {256, 1, true},
        {512, 2, false}, {512, 1, false},  {512, 1, false}, {512, 1, false}, {512, 1, false},
        {512, 1, true},  {1024, 2, false}, {1024, 1, true},
    };
    struct net_scope scope;
    value_id x;

    (void)def;
    *out = (struct model_outputs){0};
    x = g_relu(n->g, net_conv_bn(net_enter(&scope, n, "model.0."), "0", "1", image, 32, 3, 2));
    model_tap(out, x, x);
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        const struct net *in = net_enter(&scope, n, "model.%zu.", i + 1);
        value_id preact;

        x = g_relu(n->g, net_depthwise_bn(in, "0", "1", x, pairs[i].stride));
        preact = net_conv_bn(in, "3", "4", x, pairs[i].width, 1, 1);
        x = g_relu(n->g, preact);
        if (pairs[i].tap)
            model_tap(out, x, preact);
    }
    model_head(n, x, "fc", classes, ROLE_LINEAR_WEIGHT, ROLE_BIAS, out);
}

enum {
    V2_STAGES = 7
};

/* The names of a block's layers, convolution and batch norm of each. */
struct v2_block {
    const char *expand[2], *depthwise[2], *project[2]; /* expand[0] NULL: there is no such layer */
};

struct v2_form {
    bool torchvision; /* its names of blocks, and ReLU6 where the other has ReLU */
    const char *stem[2], *last[2], *classifier;
    int64_t stem_width;
    const struct v2_block *narrow,
        *wide; /* blocks whose middle is as wide as their input; the others */
    struct {
        int64_t times, width, repeats, stride; /* of the middle; of the stage; the first stride */
        bool tap;
    } stages[V2_STAGES];
};

static value_id activate(const struct net *n, const struct v2_form *f, value_id x)
{
    return f->torchvision ? g_clip(n->g, x, 0, 6) : g_relu(n->g, x);
}

static value_id inverted(const struct net *n, const struct v2_form *f, value_id x, int64_t times,
                         int64_t width, int64_t stride)
{
    const struct v2_block *b = times == 1 ? f->narrow : f->wide;
    int64_t in = net_channels(n, x);
    value_id y = x;

    if (b->expand[0])
        y = activate(n, f, net_conv_bn(n, b->expand[0], b->expand[1], y, times * in, 1, 1));
    y = activate(n, f, net_depthwise_bn(n, b->depthwise[0], b->depthwise[1], y, stride));
    y = net_conv_bn(n, b->project[0], b->project[1], y, width, 1, 1);
    return stride == 1 && in == width ? g_add(n->g, x, y) : y;
}

/* A stage ends without a ReLU, so both of its taps are the same value. */
static value_id v2_stages(const struct net *n, const struct v2_form *f, value_id x,
                          struct model_outputs *out)
{
    struct net_scope scope;
    int count = 1;

    for (int k = 0; k < V2_STAGES; k++) {
        for (int i = 0; i < f->stages[k].repeats; i++) {
            if (f->torchvision)
                net_enter(&scope, n, "features.%d.", count++);
            else
                net_enter(&scope, n, "blocks.%d.%d.", k, i);
            x = inverted(&scope.net, f, x, f->stages[k].times, f->stages[k].width,
                         i ? 1 : f->stages[k].stride);
        }
        if (f->stages[k].tap)
            model_tap(out, x, x);
    }
    return x;
}

static void v2_build(const struct net *n, const struct v2_form *f, value_id image, int64_t classes,
                     struct model_outputs *out)
{
    value_id x;

    *out = (struct model_outputs){0};
    x = activate(n, f, net_conv_bn(n, f->stem[0], f->stem[1], image, f->stem_width, 3, 2));
    model_tap(out, x, x);
    x = v2_stages(n, f, x, out);
    x = activate(n, f, net_conv_bn(n, f->last[0], f->last[1], x, 1280, 1, 1));
    model_head(n, x, f->classifier, classes, ROLE_LINEAR_SMALL, ROLE_ZERO_BIAS, out);
}

/* For 32x32 images, of half the width. Blocks expand even where they get no wider. */
void mobilenetv2_build(const struct net *n, const struct model_def *def, value_id image,
                       int64_t classes, struct model_outputs *out)
{
    static const struct v2_block names = {
        {"conv.0", "conv.1"}, {"conv.3", "conv.4"}, {"conv.6", "conv.7"}};
    static const struct v2_form form = {
        .stem = {"conv1.0", "conv1.1"},
        .last = {"conv2.0", "conv2.1"},
        .classifier = "classifier.0",
        .stem_width = 16,
        .narrow = &names,
        .wide = &names,
        .stages = {{1, 8, 1, 1, false},
                   {6, 12, 2, 1, true},
                   {6, 16, 3, 2, true},
                   {6, 32, 4, 2, false},
                   {6, 48, 3, 1, true},
                   {6, 80, 3, 2, false},
                   {6, 160, 1, 1, true}},
    };

    (void)def;
    v2_build(n, &form, image, classes, out);
}

/* For ImageNet, as in torchvision, without its dropout. */
void mobilenetv2_imagenet_build(const struct net *n, const struct model_def *def, value_id image,
                                int64_t classes, struct model_outputs *out)
{
    static const struct v2_block narrow = {.depthwise = {"conv.0.0", "conv.0.1"},
                                           .project = {"conv.1", "conv.2"}};
    static const struct v2_block wide = {
        {"conv.0.0", "conv.0.1"}, {"conv.1.0", "conv.1.1"}, {"conv.2", "conv.3"}};
    static const struct v2_form form = {
        .torchvision = true,
        .stem = {"features.0.0", "features.0.1"},
        .last = {"features.18.0", "features.18.1"},
        .classifier = "classifier.1",
        .stem_width = 32,
        .narrow = &narrow,
        .wide = &wide,
        .stages = {{1, 16, 1, 1, false},
                   {6, 24, 2, 2, true},
                   {6, 32, 3, 2, true},
                   {6, 64, 4, 2, false},
                   {6, 96, 3, 1, true},
                   {6, 160, 3, 2, false},
                   {6, 320, 1, 1, true}},
    };

    (void)def;
    v2_build(n, &form, image, classes, out);
}
