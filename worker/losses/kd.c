/* Knowledge distillation (Hinton, Vinyals, Dean 2015): T^2 KL(softmax(z_t / T) || softmax(z_s / T)). */
#include "worker/engine/ops/ops.h"
#include "worker/losses/loss.h"

static value_id build(struct graph *g, const struct loss_args *a)
{
    value_id t = g_log_softmax(g, g_scale(g, a->teacher_logits, 1 / a->temperature));
    value_id s = g_log_softmax(g, g_scale(g, a->logits, 1 / a->temperature));
    value_id apart = g_sub(g, t, s); /* first: compilers order arguments as they like */
    value_id kl = g_row_sum(g, g_mul(g, g_exp(g, t), apart));

    /* Gradients of softened targets shrink as 1/T^2; undone, T can be tuned by itself. */
    return g_scale(g, kl, a->temperature * a->temperature);
}

const struct loss_def loss_kd = {
    .name = "kd",
    .uses = USES_TEACHER_LOGITS,
    .params = "temperature",
    .build = build,
};
