/* ReviewKD (Chen et al. 2021; paper.md 1.9): the student's stages, deepest first, each fused with what the
 * deeper ones left, are compared with the teacher's. The deepest is the pooled feature; the stem is not used.
 * Where the student's map has another size than the teacher's, it is brought to the teacher's: the authors'
 * code leaves that out for some pairs, which then cannot run. */
#include "worker/losses/loss.h"
#include "worker/losses/review.h"
#include "worker/losses/terms.h"

enum {
    MOST_CHANNELS = 512 /* inside a fusion, unless the job says more */
};

/* Level 0 is the pooled feature, level k the k-th last stage. */
static value_id level(struct graph *g, const struct model_outputs *m, int k, double tap)
{
    if (k > 0)
        return (tap == TAP_PRE ? m->preact_taps : m->taps)[m->n_taps - k];
    return g_view(
        g, m->features,
        shape4(graph_shape(g, m->features)->dim[0], graph_shape(g, m->features)->dim[1], 1, 1));
}

static int64_t mid_width(struct graph *g, const struct loss_args *a)
{
    int64_t pooled = graph_shape(g, a->student.features)->dim[1];

    if (a->params->mid_width > 0)
        return (int64_t)a->params->mid_width;
    return pooled < MOST_CHANNELS ? pooled : MOST_CHANNELS;
}

static value_id build(struct graph *g, const struct loss_args *a)
{
    const struct net net = {.g = g, .training = true, .prefix = ""};
    int levels = a->student.n_taps;
    value_id residual = NO_VALUE, sum = NO_VALUE;
    struct abf_form form;

    if (a->student.features < 0 || a->teacher.features < 0)
        return NO_VALUE;
    if (levels != a->teacher.n_taps)
        return graph_fail(g, ERR_INVALID,
                          "reviewkd compares stage with stage: the student has %d, the teacher %d",
                          levels - 1, a->teacher.n_taps - 1);
    form.mid = mid_width(g, a);
    for (int k = 0; k < levels; k++) {
        value_id x = level(g, &a->student, k, a->params->student_taps);
        value_id t = level(g, &a->teacher, k, a->params->teacher_taps), term;
        struct net_scope scope;

        if (x < 0 || t < 0)
            return graph_fail(g, ERR_INVALID, "reviewkd: the %s has no outputs before the ReLU",
                              x < 0 ? "student" : "teacher");
        form.out = graph_shape(g, t)->dim[1];
        form.height = graph_shape(g, t)->dim[2];
        form.width = graph_shape(g, t)->dim[3];
        x = abf_build(net_enter(&scope, &net, "abfs.%d.", k), &form, x, &residual);
        term = hcl_build(g, x, t);
        sum = k ? g_add(g, sum, term) : term;
    }
    return sum;
}

const struct loss_def loss_reviewkd = {
    .name = "reviewkd",
    .uses = USES_TEACHER_TAPS,
    .params = "student_taps,teacher_taps,mid_width",
    .build = build,
};
