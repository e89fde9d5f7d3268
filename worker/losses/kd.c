/* Knowledge distillation (Hinton, Vinyals, Dean 2015): T^2 KL(softmax(z_t / T) || softmax(z_s / T)). */
#include "worker/losses/loss.h"
#include "worker/losses/terms.h"

static value_id build(struct graph *g, const struct loss_args *a)
{
    double temperature = a->params->temperature;
    value_id t = g_log_softmax(g, g_scale(g, a->teacher.logits, 1 / temperature));
    value_id s = g_log_softmax(g, g_scale(g, a->student.logits, 1 / temperature));

    /* Gradients of softened targets shrink as 1/T^2; undone, T can be tuned by itself. */
    return g_scale(g, term_kl(g, t, s), temperature * temperature);
}

const struct loss_def loss_kd = {
    .name = "kd",
    .uses = USES_TEACHER_LOGITS,
    .params = "temperature",
    .build = build,
};
