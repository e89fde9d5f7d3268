/* Direction against the other classes' (paper.md 1.4): cross-entropy over the cosines of the feature and all
 * class means, divided by tau. */
#include "worker/losses/loss.h"
#include "worker/losses/terms.h"

static value_id build(struct graph *g, const struct loss_args *a)
{
    value_id along = g_gemm(g, "", a->features, a->directions, NO_VALUE, false, true), cosine;

    if (along < 0)
        return NO_VALUE;
    cosine =
        g_div(g, along, g_expand(g, term_norm(g, a->features), 1, graph_shape(g, along)->dim[1]));
    return term_cross_entropy(g, g_scale(g, cosine, 1 / a->params->tau), a->labels);
}

const struct loss_def loss_infonce = {
    .name = "infonce",
    .uses = USES_CLASS_MEANS,
    .params = "tau",
    .build = build,
};
