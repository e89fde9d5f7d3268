#include <string.h>

#include "proto/base/mem.h"
#include "worker/engine/ops/ops.h"
#include "worker/losses/loss.h"

const struct loss_def *const loss_registry[] = {&loss_ce, &loss_kd, &loss_nd};
const size_t loss_registry_len = ARRAY_LEN(loss_registry);

const struct loss_def *loss_find(const char *name)
{
    for (size_t i = 0; i < loss_registry_len; i++)
        if (strcmp(loss_registry[i]->name, name) == 0)
            return loss_registry[i];
    return NULL;
}

value_id loss_direction(struct graph *g, const struct loss_args *a)
{
    return a->mixed ? a->direction : g_gather(g, a->directions, a->labels);
}
