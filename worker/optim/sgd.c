/* Stochastic gradient descent as PyTorch defines it: g = grad + wd p; b = momentum b + g (b starts as
 * g); p -= lr (nesterov ? g + momentum b : b). One pass over the region. */
#include "worker/optim/sgd.h"

void sgd_update(float *param, const float *grad, float *const *state, size_t n,
                const struct optim_hyper *h)
{
    float lr = (float)h->lr, mu = (float)h->momentum, wd = (float)h->weight_decay;
    float *b = state[0];

    /* Two loops rather than a branch within one: each becomes plain vector code. */
    if (h->nesterov) {
        for (size_t i = 0; i < n; i++) {
            float g = grad[i] + wd * param[i];

            b[i] = mu * b[i] + g;
            param[i] -= lr * (g + mu * b[i]);
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            b[i] = mu * b[i] + (grad[i] + wd * param[i]);
            param[i] -= lr * b[i];
        }
    }
}
