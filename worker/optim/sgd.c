/* Stochastic gradient descent as PyTorch defines it: g = grad + wd p; b = momentum b + g (b starts as
 * g); p -= lr (nesterov ? g + momentum b : b). One pass over the region.
 *
 * A step is small beside the parameter: rounding their sum to a float moves the parameter by some 1e-8
 * of itself, at random and for good. So what rounding takes away is kept, and given back in the next
 * step. */
#include "worker/optim/sgd.h"

/* p + low is the parameter. */
static inline void move(float *p, float *low, double by)
{
    double exact = (double)*p + (double)*low - by;

    *p = (float)exact;
    *low = (float)(exact - (double)*p);
}

void sgd_update(float *param, const float *grad, float *const *state, size_t n,
                const struct optim_hyper *h)
{
    double lr = h->lr, mu = h->momentum, wd = h->weight_decay;
    float *b = state[0], *low = state[1];

    for (size_t i = 0; i < n; i++) {
        double g = (double)grad[i] + wd * (double)param[i];
        double v = mu * (double)b[i] + g;

        b[i] = (float)v;
        move(&param[i], &low[i], lr * (h->nesterov ? g + mu * v : v));
    }
}
