/* Stepwise increasing norm (SAFN of Xu et al. 2019; paper.md 1.4): (|s| - (|s| held fixed + r))^2. Its value
 * is r^2 always; its gradient is a push outward, as strong for every feature. Of the student's own features,
 * not those behind a projector. */
#include "worker/losses/loss.h"
#include "worker/losses/terms.h"

static value_id build(struct graph *g, const struct loss_args *a)
{
    value_id norm = g_row_norm(g, a->student.features);
    value_id step = g_sub(g, norm, g_affine(g, 1, g_detach(g, norm), a->params->norm_step));

    return g_mul(g, step, step);
}

const struct loss_def loss_sifn = {.name = "sifn", .params = "norm_step", .build = build};
