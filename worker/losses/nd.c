/* Norm and direction (arXiv 2305.17007; paper.md 1.5): 1 - <s, e_y> / max(|s|, |t|), with e_y the unit
 * class mean. Below the teacher's norm the gradient is -e_y / |t|: it turns the feature and makes it
 * grow. From there on it is tangential: pure rotation. A tie counts as the student's branch. */
#include "worker/engine/ops/ops.h"
#include "worker/losses/loss.h"

/* Keeps 0/0 away where both features vanish; the authors' code has no such guard. */
static const double smallest_norm = 1e-12;

static value_id build(struct graph *g, const struct loss_args *a)
{
    value_id along = g_row_sum(g, g_mul(g, a->features, loss_direction(g, a)));
    value_id student = g_row_norm(g, a->features), teacher = g_row_norm(g, a->teacher_features);
    value_id floor = g_affine(g, 0, teacher, smallest_norm);
    value_id norm = g_max(g, g_max(g, student, teacher), floor);

    return g_affine(g, -1, g_div(g, along, norm), 1);
}

const struct loss_def loss_nd = {
    .name = "nd",
    .uses = USES_TEACHER_FEATURES | USES_CLASS_MEANS,
    .build = build,
};
