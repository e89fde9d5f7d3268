/* Features alike (paper.md 1.4): |s - t|^2, summed over the features. */
#include "worker/losses/loss.h"
#include "worker/losses/terms.h"

static value_id build(struct graph *g, const struct loss_args *a)
{
    value_id apart = g_sub(g, a->features, a->teacher.features);

    return term_dot(g, apart, apart);
}

const struct loss_def loss_l2 = {.name = "l2", .uses = USES_TEACHER_FEATURES, .build = build};
