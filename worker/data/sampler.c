#include "worker/data/sampler.h"

#include "proto/base/rng.h"

void sampler_shuffle(uint64_t seed, int64_t epoch, int64_t n, int64_t *order_out)
{
    uint64_t key = rng_key(rng_key(seed, RNG_SHUFFLE), (uint64_t)epoch);

    for (int64_t i = 0; i < n; i++)
        order_out[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t k = (int64_t)rng_below(key, (uint64_t)i, (uint64_t)i + 1), swap = order_out[i];

        order_out[i] = order_out[k];
        order_out[k] = swap;
    }
}

int64_t sampler_steps(int64_t samples, int64_t batch)
{
    return (samples + batch - 1) / batch;
}

int64_t sampler_batch_size(int64_t samples, int64_t batch, int64_t b)
{
    int64_t rest = samples - b * batch;

    return rest < batch ? rest : batch;
}

int64_t sampler_cut(int64_t n, int64_t lanes, int64_t lane)
{
    return lane * n / lanes;
}
