#include "worker/optim/grad_norm.h"

#include <math.h>

#include "proto/base/clones.h"

enum {
    BLOCK = 65536,
    LANES = 16 /* sums that run side by side: each addition waits for the one before */
};

/* Which lane an element falls to depends on its place alone, not on the processor. */
CLONES static double squares(const float *x, size_t n)
{
    double lane[LANES] = {0}, sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        _Pragma("omp simd") for (int k = 0; k < LANES; k++) lane[k] +=
            (double)x[i + (size_t)k] * (double)x[i + (size_t)k];
    for (; i < n; i++)
        lane[i % LANES] += (double)x[i] * (double)x[i];
    for (int k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

double grad_norm(const float *grad, size_t n)
{
    double total = 0;

    for (size_t from = 0; from < n; from += BLOCK)
        total += squares(grad + from, n - from < BLOCK ? n - from : BLOCK);
    return sqrt(total);
}
