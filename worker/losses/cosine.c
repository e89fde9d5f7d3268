/* Direction alone (paper.md 1.4): 1 - cos(s, c_y), c_y the label's class mean. */
#include "worker/losses/loss.h"
#include "worker/losses/terms.h"

static value_id build(struct graph *g, const struct loss_args *a)
{
    value_id along = term_dot(g, a->features, loss_direction(g, a));

    return g_affine(g, -1, g_div(g, along, term_norm(g, a->features)), 1);
}

const struct loss_def loss_cosine = {.name = "cosine", .uses = USES_CLASS_MEANS, .build = build};
