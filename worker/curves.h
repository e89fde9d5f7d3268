/* What metrics.jsonl is told of a step, of an epoch and of an evaluation, in which order and under which
 * names. Rank 0. */
#ifndef WORKER_CURVES_H
#define WORKER_CURVES_H

#include "worker/norms.h"
#include "worker/report/metrics.h"
#include "worker/step.h"

/* Where the points lie. */
struct curves {
    struct metrics *metrics;
    int64_t step, epoch;
};

/* Of the step of n samples that was run last; sorts its norms. */
void curves_step(const struct curves *c, struct train_step *step, int64_t n, double lr);
/* The spread of norms over an epoch; whose: "student" or "teacher". */
void curves_epoch_norms(const struct curves *c, const char *whose, const struct norms *h);
/* split: "val" or "test". */
void curves_evaluation(const struct curves *c, const struct session *s, const char *split,
                       const struct eval_set *set, const double *sums);

#endif
