/* Norm and direction (arXiv 2305.17007; paper.md 1.5): 1 - <s, e_y> / max(|s|, |t|), with e_y the unit
 * class mean. Below the teacher's norm the gradient is -e_y / |t|: it turns the feature and makes it
 * grow. From there on it is tangential: pure rotation. A tie counts as the student's branch. */
#include "worker/losses/loss.h"
#include "worker/losses/terms.h"

static value_id build(struct graph *g, const struct loss_args *a)
{
    value_id along = term_dot(g, a->features, loss_direction(g, a));
    value_id student = g_row_norm(g, a->features), teacher = term_norm(g, a->teacher.features);

    return g_affine(g, -1, g_div(g, along, g_max(g, student, teacher)), 1);
}

const struct loss_def loss_nd = {
    .name = "nd",
    .uses = USES_TEACHER_FEATURES | USES_CLASS_MEANS,
    .build = build,
};
