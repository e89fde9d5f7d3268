/* Norms alike (paper.md 1.4): (|s| - |t|)^2. */
#include "worker/losses/loss.h"
#include "worker/losses/terms.h"

static value_id build(struct graph *g, const struct loss_args *a)
{
    value_id student = g_row_norm(g, a->features), teacher = g_row_norm(g, a->teacher.features);
    value_id apart = g_sub(g, student, teacher);

    return g_mul(g, apart, apart);
}

const struct loss_def loss_norm_l2 = {
    .name = "norm_l2",
    .uses = USES_TEACHER_FEATURES,
    .build = build,
};
