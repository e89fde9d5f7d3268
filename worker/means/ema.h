/* Running class means: after each step the mean m of every class that its batch had becomes
 * momentum * m + (1 - momentum) * the batch's mean of the class. The first batch with a class sets its
 * mean; until then the class has none. */
#ifndef WORKER_MEANS_EMA_H
#define WORKER_MEANS_EMA_H

#include "worker/means/means.h"

struct means_ema {
    int classes, width;
    double momentum;
    double *mean;     /* classes x width */
    int64_t *batches; /* classes: how many batches had the class */
};
void means_ema_init(struct means_ema *e, int classes, int width, double momentum);
void means_ema_free(struct means_ema *e); /* a zeroed one is fine */

/* batch: the exact sums over the whole batch, so that all ranks take the same step. */
void means_ema_step(struct means_ema *e, const struct means_sums *batch);
/* unit (classes x width) := the directions of the means; zeros where there is none, so that such a class
 * pulls nowhere. */
void means_ema_unit(const struct means_ema *e, float *unit);

#endif
