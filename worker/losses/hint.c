/* Hint (FitNets, Romero et al. 2015): the mean square of the difference between the teacher's map of one
 * stage and the student's behind a connector: a 1x1 convolution and a batch norm, brought to the teacher's
 * size. */
#include "worker/losses/loss.h"
#include "worker/losses/terms.h"

static value_id stage(struct graph *g, const struct model_outputs *m, const char *whose,
                      const struct loss_params *p, double tap)
{
    int k = (int)p->layer;
    value_id v;

    if (k >= m->n_taps)
        return graph_fail(g, ERR_INVALID, "hint: layer is %d, but the %s's last stage is %d", k,
                          whose, m->n_taps - 1);
    v = (tap == TAP_PRE ? m->preact_taps : m->taps)[k];
    return v >= 0
               ? v
               : graph_fail(g, ERR_INVALID, "hint: the %s has no outputs before the ReLU", whose);
}

static value_id build(struct graph *g, const struct loss_args *a)
{
    const struct net net = {.g = g, .training = true, .prefix = "connector."};
    value_id x = stage(g, &a->student, "student", a->params, a->params->student_taps);
    value_id t = stage(g, &a->teacher, "teacher", a->params, a->params->teacher_taps);
    struct shape s;

    if (x < 0 || t < 0)
        return NO_VALUE;
    s = *graph_shape(g, t);
    x = net_batch_norm(&net, "1", net_conv(&net, "0", x, s.dim[1], 1, 1, 0));
    x = g_resize_nearest(g, x, s.dim[2], s.dim[3]);
    return term_mean_square(g, g_sub(g, x, t));
}

const struct loss_def loss_hint = {
    .name = "hint",
    .uses = USES_TEACHER_TAPS,
    .params = "student_taps,teacher_taps,layer",
    .build = build,
};
