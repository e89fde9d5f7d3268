#include "proto/base/table.h"
#include "worker/models/model.h"

const struct model_def model_registry[] = {
    {"resnet8", resnet_build, 8, 1},     {"resnet14", resnet_build, 14, 1},
    {"resnet20", resnet_build, 20, 1},   {"resnet32", resnet_build, 32, 1},
    {"resnet44", resnet_build, 44, 1},   {"resnet56", resnet_build, 56, 1},
    {"resnet110", resnet_build, 110, 1}, {"resnet8x4", resnet_build, 8, 4},
    {"resnet32x4", resnet_build, 32, 4},
};
const size_t model_registry_len = sizeof(model_registry) / sizeof(model_registry[0]);

const struct model_def *model_find(const char *name, struct error *err)
{
    const struct model_def *def = table_find(TABLE(model_registry), name);

    if (!def)
        table_unknown(TABLE(model_registry), "model", name, err);
    return def;
}
