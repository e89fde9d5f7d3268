#include "worker/optim/optim.h"

#include "proto/base/mem.h"
#include "proto/base/table.h"
#include "worker/optim/adamw.h"
#include "worker/optim/sgd.h"

const struct optim_def optim_registry[] = {
    {"sgd", "momentum,nesterov", {"momentum", "low"}, sgd_update},
    {"adamw", "beta1,beta2,epsilon", {"mean", "square", "low"}, adamw_update},
};
const size_t optim_registry_len = ARRAY_LEN(optim_registry);

const struct optim_def *optim_find(const char *name)
{
    return table_find(TABLE(optim_registry), name);
}
