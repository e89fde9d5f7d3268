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

/* One level; *residual is what is left from the deeper one and for the next. */
static value_id compare(struct graph *g, const struct loss_args *a, int k, value_id *residual)
{
    const struct net net = {.g = g, .training = true, .prefix = ""};
    value_id x = level(g, &a->student, k, a->params->student_taps);
    value_id t = level(g, &a->teacher, k, a->params->teacher_taps);
    struct net_scope scope;
    struct abf_form form;
    struct shape s;

    if (x < 0 || t < 0)
        return graph_fail(g, ERR_INVALID, "reviewkd: the %s has no outputs before the ReLU",
                          x < 0 ? "student" : "teacher");
    s = *graph_shape(g, t);
    form = (struct abf_form){
        .mid = mid_width(g, a), .out = s.dim[1], .height = s.dim[2], .width = s.dim[3]};
    x = abf_build(net_enter(&scope, &net, "abfs.%d.", k), &form, x, residual);
    return hcl_build(g, x, t);
}

static value_id build(struct graph *g, const struct loss_args *a)
{
    int stages = loss_stages(&a->student);
    value_id residual = NO_VALUE, sum;

    if (!stages || stages != loss_stages(&a->teacher))
        return graph_fail(g, ERR_INVALID,
                          "reviewkd compares stage with stage: the student has %d, the teacher %d",
                          stages, loss_stages(&a->teacher));
    if (a->student.features < 0 || a->teacher.features < 0)
        return NO_VALUE;
    sum = compare(g, a, 0, &residual);
    for (int k = 1; k <= stages; k++)
        sum = g_add(g, sum, compare(g, a, k, &residual));
    return sum;
}

const struct loss_def loss_reviewkd = {
    .name = "reviewkd",
    .uses = USES_TEACHER_TAPS,
    .params = "student_taps,teacher_taps,mid_width",
    .build = build,
};
