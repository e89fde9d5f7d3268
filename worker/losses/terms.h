/* Formulas that several losses share. All give one value a sample, [B]. */
#ifndef WORKER_LOSSES_TERMS_H
#define WORKER_LOSSES_TERMS_H

#include "worker/engine/ops/ops.h"

/* Cross-entropy of labels: log-sum-exp(z) - z_y. */
value_id term_cross_entropy(struct graph *g, value_id logits, value_id labels);
/* KL(t || s) of distributions that are given by their logarithms, [B,C]. */
value_id term_kl(struct graph *g, value_id log_t, value_id log_s);
/* Scalar product of the rows of [B,D]. */
value_id term_dot(struct graph *g, value_id a, value_id b);
/* |x| of the rows of [B,D], but never 0: what is divided by it stays finite. */
value_id term_norm(struct graph *g, value_id x);
/* Mean of the squares of all that a sample has: of [B,D] or [B,C,H,W]. */
value_id term_mean_square(struct graph *g, value_id x);
/* The mean of x, [N], as the value of every one of `batch` samples. */
value_id term_shared_mean(struct graph *g, value_id x, int64_t batch);

#endif
