#include "worker/stats.h"

#include <math.h>
#include <stddef.h>

#include "worker/replica.h"

double stats_norm(const float *x, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* How many classes come before the label when logits are sorted: larger ones, and equal ones with a
 * smaller number. A NaN counts as larger, so that a broken net is never right. */
static int64_t rank_of_label(const float *z, int64_t classes, int32_t label)
{
    int64_t before = 0;

    for (int64_t j = 0; j < classes; j++)
        if (j != label && (!(z[j] <= z[label]) || (z[j] == z[label] && j < label)))
            before++;
    return before;
}

static double cross_entropy(const float *z, int64_t classes, int32_t label)
{
    double max = (double)z[0], sum = 0;

    for (int64_t j = 1; j < classes; j++)
        max = (double)z[j] > max ? (double)z[j] : max;
    for (int64_t j = 0; j < classes; j++)
        sum += exp((double)z[j] - max);
    return max + log(sum) - (double)z[label];
}

static bool knows_teacher(const struct stats_batch *b)
{
    return b->teacher_norms || b->teacher_features;
}

static double teacher_norm(const struct stats_batch *b, int64_t i)
{
    return b->teacher_norms ? b->teacher_norms[i]
                            : stats_norm(b->teacher_features + i * b->width, b->width);
}

static void compare_norms(const struct stats_batch *b, int64_t i, double student, double *sums)
{
    static const double smallest = 1e-12;
    double teacher = teacher_norm(b, i);

    sums[SUM_TEACHER_NORM] += teacher;
    sums[SUM_RATIO] += student / (teacher > smallest ? teacher : smallest);
    sums[SUM_BELOW] += student < teacher;
    if (b->norms_of_teacher)
        b->norms_of_teacher[i] = teacher;
}

static double cosine(const float *x, const float *unit, int64_t n, double norm)
{
    double dot = 0;

    for (int64_t j = 0; j < n; j++)
        dot += (double)x[j] * (double)unit[j];
    return norm > 0 ? dot / norm : 0;
}

void stats_sum(const struct stats_batch *b, double *sums)
{
    for (int64_t i = 0; i < b->count; i++) {
        const float *z = b->logits + i * b->classes, *s = b->features + i * b->width;
        int64_t before = rank_of_label(z, b->classes, b->labels[i]);
        double norm = stats_norm(s, b->width);

        sums[SUM_TOP1] += before < 1;
        sums[SUM_TOP5] += before < 5;
        sums[SUM_NORM] += norm;
        if (b->norms)
            b->norms[i] = norm;
        if (knows_teacher(b))
            compare_norms(b, i, norm, sums);
        if (b->directions)
            sums[SUM_COS] += cosine(s, b->directions + b->labels[i] * b->width, b->width, norm);
        if (b->cross_entropy)
            sums[SUM_CE] += cross_entropy(z, b->classes, b->labels[i]);
    }
}
