#include "worker/engine/ops/ops.h"
#include "worker/models/model.h"

value_id projector_build(const struct net *n, value_id features, value_id mask, int64_t width)
{
    const struct net head = {.g = n->g, .training = n->training, .prefix = "projector."};
    value_id x = net_batch_norm(&head, "0", features);

    if (mask >= 0)
        x = g_mul(n->g, x, mask);
    return net_linear(&head, "2", x, width, ROLE_LINEAR_WEIGHT, ROLE_ZERO_BIAS);
}

void projector_trap(struct graph *g, bool imagenet)
{
    for (size_t i = 0; i < g->values.n; i++) {
        enum param_role *role = &g->values.at[i].role;

        if (imagenet &&
            (*role == ROLE_LINEAR_WEIGHT || *role == ROLE_BIAS || *role == ROLE_ZERO_BIAS))
            *role = ROLE_LINEAR_SMALL;
        else if (*role == ROLE_BIAS)
            *role = ROLE_ZERO_BIAS;
    }
}
