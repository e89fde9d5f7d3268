#include <string.h>

#include "proto/base/str.h"
#include "proto/base/table.h"
#include "worker/engine/ops/ops.h"
#include "worker/models/model.h"

static const struct model_facts cifar = {.image_size = 32, .classes = 100};
static const struct model_facts imagenet = {
    .image_size = 224, .classes = 1000, .prefix = "imagenet_"};
static const struct model_facts imagenet_named = {.image_size = 224, .classes = 1000};

/* Where forms for CIFAR and for ImageNet clash, one has its data set in the name. */
const struct model_def model_registry[] = {
    {"resnet8", resnet_build, 8, 1, &cifar},
    {"resnet14", resnet_build, 14, 1, &cifar},
    {"resnet20", resnet_build, 20, 1, &cifar},
    {"resnet32", resnet_build, 32, 1, &cifar},
    {"resnet44", resnet_build, 44, 1, &cifar},
    {"resnet56", resnet_build, 56, 1, &cifar},
    {"resnet110", resnet_build, 110, 1, &cifar},
    {"resnet8x4", resnet_build, 8, 4, &cifar},
    {"resnet32x4", resnet_build, 32, 4, &cifar},
    {"resnet18_cifar", resnet_cifar_build, 18, 1, &cifar},
    {"resnet50_cifar", resnet_cifar_build, 50, 1, &cifar},
    {"wrn_16_1", wrn_build, 16, 1, &cifar},
    {"wrn_16_2", wrn_build, 16, 2, &cifar},
    {"wrn_40_1", wrn_build, 40, 1, &cifar},
    {"wrn_40_2", wrn_build, 40, 2, &cifar},
    {"vgg8", vgg_build, 8, 1, &cifar},
    {"vgg13", vgg_build, 13, 1, &cifar},
    {"mobilenetv2", mobilenetv2_build, 0, 0, &cifar},
    {"shufflenetv1", shufflenetv1_build, 0, 0, &cifar},
    {"shufflenetv2", shufflenetv2_build, 0, 10, &cifar},
    {"shufflenetv2_x02", shufflenetv2_build, 0, 2, &cifar},
    {"resnet18", resnet_imagenet_build, 18, 1, &imagenet},
    {"resnet34", resnet_imagenet_build, 34, 1, &imagenet},
    {"resnet50", resnet_imagenet_build, 50, 1, &imagenet},
    {"resnet101", resnet_imagenet_build, 101, 1, &imagenet},
    {"resnet152", resnet_imagenet_build, 152, 1, &imagenet},
    {"mobilenetv1", mobilenetv1_build, 0, 0, &imagenet},
    {"imagenet_mobilenetv2", mobilenetv2_imagenet_build, 0, 0, &imagenet_named},
};
const size_t model_registry_len = sizeof(model_registry) / sizeof(model_registry[0]);

/* "imagenet_resnet50" is resnet50. */
static bool is_called(const struct model_def *def, const char *name)
{
    const char *prefix = def->facts->prefix;

    return prefix && str_starts(name, prefix) && strcmp(name + strlen(prefix), def->name) == 0;
}

const struct model_def *model_find(const char *name, struct error *err)
{
    const struct model_def *def = table_find(TABLE(model_registry), name);

    for (size_t i = 0; !def && i < model_registry_len; i++)
        if (is_called(&model_registry[i], name))
            def = &model_registry[i];
    if (!def)
        table_unknown(TABLE(model_registry), "model", name, err);
    return def;
}

bool model_is_thrown_away(const char *name)
{
    static const char *const prefixes[] = {"projector.", "abfs.", "connector."};

    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (str_starts(name, prefixes[i]))
            return true;
    return false;
}

void model_tap(struct model_outputs *out, value_id after, value_id before)
{
    ASSERT(out->n_taps < MODEL_MAX_TAPS);
    out->taps[out->n_taps] = after;
    out->preact_taps[out->n_taps++] = before;
}

void model_head(const struct net *n, value_id x, const char *classifier, int64_t classes,
                enum param_role weight, enum param_role bias, struct model_outputs *out)
{
    out->features = g_flatten(n->g, g_global_average_pool(n->g, x));
    out->logits = net_linear(n, classifier, out->features, classes, weight, bias);
}
