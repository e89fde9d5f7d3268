/* DIST (Huang et al. 2022; paper.md 1.8): correlations instead of equality. With y = softmax(z / T) and r
 * the Pearson correlation of student and teacher,
 *     T^2 (beta (1 - mean over rows of r) + gamma (1 - mean over columns of r)).
 * Rows are samples. A column is a class over all samples that are seen together: a lane, or the batch. */
#include "worker/losses/loss.h"
#include "worker/losses/terms.h"

static const double epsilon = 1e-8; /* in the denominator, as the authors have it */

static value_id centred_rows(struct graph *g, value_id x)
{
    int64_t columns;

    if (x < 0)
        return NO_VALUE;
    columns = graph_shape(g, x)->dim[1];
    return g_sub(g, x, g_expand(g, g_scale(g, g_row_sum(g, x), 1 / (double)columns), 1, columns));
}

/* Of the rows of a with those of b. */
static value_id correlation(struct graph *g, value_id a, value_id b)
{
    value_id x = centred_rows(g, a), y = centred_rows(g, b);
    value_id along = term_dot(g, x, y), norm_x = g_row_norm(g, x), norm_y = g_row_norm(g, y);

    return g_div(g, along, g_affine(g, 1, g_mul(g, norm_x, norm_y), epsilon));
}

static value_id softened(struct graph *g, value_id logits, double temperature)
{
    return g_exp(g, g_log_softmax(g, g_scale(g, logits, 1 / temperature)));
}

static value_id build(struct graph *g, const struct loss_args *a)
{
    static const int64_t swap[SHAPE_MAX] = {1, 0};
    const struct loss_params *p = a->params;
    double squared = p->temperature * p->temperature;
    value_id s = softened(g, a->student.logits, p->temperature);
    value_id t = softened(g, a->teacher.logits, p->temperature);
    value_id inter = correlation(g, s, t), intra;

    if (inter < 0)
        return NO_VALUE;
    s = g_transpose(g, s, swap);
    t = g_transpose(g, t, swap);
    intra = term_shared_mean(g, correlation(g, s, t), graph_shape(g, inter)->dim[0]);
    inter = g_affine(g, -squared * p->beta, inter, squared * p->beta);
    intra = g_affine(g, -squared * p->gamma, intra, squared * p->gamma);
    return g_add(g, inter, intra);
}

static const char *doubt(int64_t classes, int64_t lane)
{
    (void)classes;
    return lane > 1 ? NULL : "in a lane of one sample its part along the batch is constant";
}

const struct loss_def loss_dist = {
    .name = "dist",
    .uses = USES_TEACHER_LOGITS,
    .params = "temperature,beta,gamma,scope",
    .build = build,
    .doubt = doubt,
};
