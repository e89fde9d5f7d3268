#ifndef WORKER_OPTIM_GRAD_NORM_H
#define WORKER_OPTIM_GRAD_NORM_H

#include <stddef.h>

/* Euclidean norm in double, by blocks of 65,536 in their order; infinite or not a number where an element
 * is. */
double grad_norm(const float *grad, size_t n);

#endif
