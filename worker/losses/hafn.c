/* Hard norm (HAFN of Xu et al. 2019; paper.md 1.4): (mean |s| - R)^2, the mean over the lane. Of the student's
 * own features, not those behind a projector. */
#include "worker/losses/loss.h"
#include "worker/losses/terms.h"

static value_id build(struct graph *g, const struct loss_args *a)
{
    value_id norms = g_row_norm(g, a->student.features), off;

    if (norms < 0)
        return NO_VALUE;
    off = g_affine(g, 1, term_shared_mean(g, norms, graph_shape(g, norms)->dim[0]),
                   -a->params->norm_target);
    return g_mul(g, off, off);
}

const struct loss_def loss_hafn = {.name = "hafn", .params = "norm_target", .build = build};
