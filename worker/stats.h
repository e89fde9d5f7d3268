/* Figures about a batch, summed over its samples in their order, in double. */
#ifndef WORKER_STATS_H
#define WORKER_STATS_H

#include <stdbool.h>
#include <stdint.h>

struct stats_batch {
    int64_t count, classes, width;
    const float *logits;           /* count x classes */
    const int32_t *labels;         /* count */
    const float *features;         /* count x width, as the losses compare them */
    const float *teacher_features; /* count x width; NULL: not known */
    const double *teacher_norms;   /* count; NULL: from teacher_features, if there are any */
    const float *directions;       /* classes x width, unit; NULL: not known */
    bool cross_entropy;            /* also sum it */
    double *norms;                 /* out, count: |s|; NULL: not wanted */
    double *norms_of_teacher;      /* out, count: |t| where it is known; NULL: not wanted */
};

/* Adds to sums[SUM_...] (replica.h). */
void stats_sum(const struct stats_batch *b, double *sums);

/* Euclidean norm in double. */
double stats_norm(const float *x, int64_t n);

#endif
