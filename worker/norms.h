/* How feature norms are spread, for the metrics norm/student_p10, _p50 and _p90 of a step, those with
 * student_epoch_ of an epoch, and the same of the teacher where norms are compared. Over a batch they are
 * exact; over an epoch they come from a histogram, a sum of integers, so that neither the order of samples
 * nor a break in between shows. */
#ifndef WORKER_NORMS_H
#define WORKER_NORMS_H

#include <stdint.h>

/* Bin 0 is below 2^-10 (and what is no number), the last from 2^15 on; 32 bins an octave between them,
 * each 2.2 % wide. */
enum {
    NORMS_LOWEST = -10,
    NORMS_HIGHEST = 15,
    NORMS_PER_OCTAVE = 32,
    NORMS_BINS = (NORMS_HIGHEST - NORMS_LOWEST) * NORMS_PER_OCTAVE + 2
};

struct norms {
    int64_t counts[NORMS_BINS];
};

void norms_add(struct norms *h, double norm);
/* The q-th quantile, 0 to 1: what stands at position q (n - 1) of the sorted values, linear between
 * neighbours; of a histogram, linear inside the bin. n is not 0. */
double norms_quantile(const double *sorted, int64_t n, double q);
double norms_histogram_quantile(const struct norms *h, double q);
/* Ascending. */
void norms_sort(double *norms, int64_t n);

#endif
