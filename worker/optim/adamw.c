/* Adam with decoupled weight decay (Loshchilov and Hutter): m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
 * p -= lr (m' / (sqrt(v') + eps) + wd p), where m' and v' are m and v over what their weights sum to after
 * so many steps, 1 - b^step. */
#include "worker/optim/adamw.h"

#include <math.h>

#include "proto/base/clones.h"
#include "worker/optim/move.h"

CLONES void adamw_update(float *param, const float *grad, float *const *state, size_t n,
                         const struct optim_hyper *h)
{
    double b1 = h->beta1, b2 = h->beta2;
    double share1 = 1 - pow(b1, (double)h->step), share2 = 1 - pow(b2, (double)h->step);
    double lr = h->lr, wd = h->weight_decay, epsilon = h->epsilon;
    float *m = state[0], *v = state[1], *low = state[2];

    _Pragma("omp simd") for (size_t i = 0; i < n; i++)
    {
        double p = (double)param[i] + (double)low[i], g = (double)grad[i];
        double mean = b1 * (double)m[i] + (1 - b1) * g;
        double square = b2 * (double)v[i] + (1 - b2) * g * g;

        m[i] = (float)mean;
        v[i] = (float)square;
        move(&param[i], &low[i],
             p - lr * (mean / share1 / (sqrt(square / share2) + epsilon) + wd * p));
    }
}
