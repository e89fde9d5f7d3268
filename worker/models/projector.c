#include "worker/engine/ops/ops.h"
#include "worker/models/model.h"

value_id projector_build(const struct net *n, value_id features, value_id mask, int64_t width)
{
    const struct net head = {.g = n->g, .training = n->training, .prefix = "projector."};
    value_id x = net_batch_norm(&head, "0", features);

    if (mask >= 0)
        x = g_mul(n->g, x, mask);
    return net_linear(&head, "2", x, width);
}
