/* Decoupled knowledge distillation (Zhao et al. 2022; paper.md 1.8): KL of "the label or not", TCKD, and KL
 * among the other classes, NCKD, weighed apart:
 *     T^2 (alpha KL(b_t || b_s) + beta KL(q_t || q_s)),
 * b = (p_y, 1 - p_y), q the softmax without the label. All of it by log-sum-exp: log(1 - p_y) is that of the
 * others less that of all, so nothing over- or underflows, whatever the logits. */
#include "worker/losses/loss.h"
#include "worker/losses/terms.h"

/* What takes a class out of a softmax: exp(this - anything) is 0, and this less itself too. */
static const double no_logit = -1e30;

/* Logarithms of both distributions, [B,2] and [B,C]. */
struct parts {
    value_id label, others;
};

static struct parts part(struct graph *g, const struct loss_args *a, value_id logits)
{
    value_id z = g_scale(g, logits, 1 / a->params->temperature);
    value_id label = g_pick(g, z, a->labels);
    value_id others = g_put(g, z, a->labels, no_logit);
    value_id rest = g_log_sum_exp(g, others), two[2];
    struct parts p = {NO_VALUE, NO_VALUE};
    struct shape column;

    if (rest < 0)
        return p;
    column = shape2(graph_shape(g, rest)->dim[0], 1);
    two[0] = g_view(g, label, column);
    two[1] = g_view(g, rest, column);
    p.label = g_log_softmax(g, g_concat(g, 1, two, 2));
    p.others = g_log_softmax(g, others);
    return p;
}

static value_id build(struct graph *g, const struct loss_args *a)
{
    const struct loss_params *p = a->params;
    double squared = p->temperature * p->temperature;
    struct parts t = part(g, a, a->teacher.logits), s = part(g, a, a->student.logits);
    value_id label = g_scale(g, term_kl(g, t.label, s.label), squared * p->alpha);
    value_id others = g_scale(g, term_kl(g, t.others, s.others), squared * p->beta);

    return g_add(g, label, others);
}

static const char *doubt(int64_t classes, int64_t samples)
{
    (void)samples;
    return classes > 2 ? NULL : "with two classes its part among the other classes is always 0";
}

const struct loss_def loss_dkd = {
    .name = "dkd",
    .uses = USES_TEACHER_LOGITS,
    .params = "temperature,alpha,beta",
    .build = build,
    .doubt = doubt,
};
