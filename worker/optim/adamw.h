#ifndef WORKER_OPTIM_ADAMW_H
#define WORKER_OPTIM_ADAMW_H

#include "worker/optim/optim.h"

/* state[0] and [1]: the moving averages of the gradient and of its square; state[2]: what rounding took from
 * the parameters */
void adamw_update(float *param, const float *grad, float *const *state, size_t n,
                  const struct optim_hyper *h);

#endif
