/* Stochastic gradient descent as PyTorch defines it: g = grad + wd p; b = momentum b + g (b starts as
 * g); p -= lr (nesterov ? g + momentum b : b). One pass over the region. */
#include "worker/optim/sgd.h"

#include "proto/base/clones.h"
#include "worker/optim/move.h"

CLONES void sgd_update(float *param, const float *grad, float *const *state, size_t n,
                       const struct optim_hyper *h)
{
    double lr = h->lr, mu = h->momentum, wd = h->weight_decay;
    double of_g = h->nesterov ? 1 : 0, of_v = h->nesterov ? mu : 1; /* what the step is made of */
    float *b = state[0], *low = state[1];

    _Pragma("omp simd") for (size_t i = 0; i < n; i++)
    {
        double p = (double)param[i] + (double)low[i];
        double g = (double)grad[i] + wd * (double)param[i];
        double v = mu * (double)b[i] + g;

        b[i] = (float)v;
        move(&param[i], &low[i], p - lr * (of_g * g + of_v * v));
    }
}
