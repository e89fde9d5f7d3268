#ifndef WORKER_OPTIM_SGD_H
#define WORKER_OPTIM_SGD_H

#include "worker/optim/optim.h"

/* state[0]: the momentum buffer; state[1]: what rounding took from the parameters */
void sgd_update(float *param, const float *grad, float *const *state, size_t n,
                const struct optim_hyper *h);

#endif
