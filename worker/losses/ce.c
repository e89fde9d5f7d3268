/* Cross-entropy: log-sum-exp(z) - z_y. */
#include "worker/engine/ops/ops.h"
#include "worker/losses/loss.h"

static value_id build(struct graph *g, const struct loss_args *a)
{
    return g_scale(g, g_pick(g, g_log_softmax(g, a->logits), a->labels), -1);
}

const struct loss_def loss_ce = {.name = "ce", .build = build};
