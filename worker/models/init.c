#include <math.h>

#include "proto/base/rng.h"
#include "worker/models/model.h"

static void fill(float *out, int64_t n, float value)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = value;
}

static void uniform(float *out, int64_t n, uint64_t key, double bound)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)(bound * (2 * rng_uniform(key, (uint64_t)i) - 1));
}

static void normal(float *out, int64_t n, uint64_t key, double deviation)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)(deviation * rng_normal(key, (uint64_t)i));
}

void init_tensor(const char *name, enum param_role role, const struct shape *s, int64_t fan_in,
                 uint64_t seed, float *out)
{
    uint64_t key = rng_key_text(rng_key(seed, RNG_INIT), name);
    int64_t n = shape_count(s);

    switch (role) {
    case ROLE_CONV_WEIGHT: normal(out, n, key, sqrt(2.0 / (double)(n / s->dim[1]))); break;
    case ROLE_CONV_UNIFORM: uniform(out, n, key, sqrt(3 / (double)fan_in)); break;
    case ROLE_CONV_SMALL:
    case ROLE_LINEAR_WEIGHT:
    case ROLE_BIAS: uniform(out, n, key, 1 / sqrt((double)fan_in)); break;
    case ROLE_LINEAR_SMALL: normal(out, n, key, 0.01); break;
    case ROLE_BN_GAMMA:
    case ROLE_BN_VAR: fill(out, n, 1); break;
    case ROLE_ZERO_BIAS:
    case ROLE_BN_BETA:
    case ROLE_BN_MEAN:
    case ROLE_NONE: fill(out, n, 0); break;
    }
}
