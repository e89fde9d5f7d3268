#include "proto/base/rng.h"

#include <math.h>

static const uint64_t golden = 0x9E3779B97F4A7C15u;

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

uint64_t rng_key(uint64_t key, uint64_t part)
{
    return mix(mix(key + golden) ^ (part + golden));
}

uint64_t rng_key_text(uint64_t key, const char *text)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return rng_key(key, h);
}

uint64_t rng_u64(uint64_t key, uint64_t index)
{
    return mix(key + (index + 1) * golden);
}

uint64_t rng_below(uint64_t key, uint64_t index, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)rng_u64(key, index) * n) >> 64);
}

double rng_uniform(uint64_t key, uint64_t index)
{
    return (double)(rng_u64(key, index) >> 11) * 0x1p-53;
}

double rng_normal(uint64_t key, uint64_t index)
{
    double u = rng_uniform(key, 2 * index), v = rng_uniform(key, 2 * index + 1);

    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

/* The logarithm of a Gamma variate of this shape: the variate itself vanishes where the shape is next to 0.
 * By the method of Marsaglia and Tsang (2000), which draws until a value is accepted, mostly at once;
 * shapes below 1 by G(a) = G(a + 1) U^(1/a). */
static double log_gamma(uint64_t key, double shape)
{
    uint64_t tries = rng_key(key, 1);
    double smaller = shape < 1 ? log(1 - rng_uniform(key, 0)) / shape : 0;
    double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / sqrt(9 * d);

    for (uint64_t i = 0;; i++) {
        double x = rng_normal(tries, i), v = pow(1 + c * x, 3);

        if (v > 0 && log(1 - rng_uniform(rng_key(key, 2), i)) < x * x / 2 + d - d * v + d * log(v))
            return log(d * v) + smaller;
    }
}

double rng_beta(uint64_t key, double a, double b)
{
    double x = log_gamma(rng_key(key, 1), a), y = log_gamma(rng_key(key, 2), b);

    return 1 / (1 + exp(y - x));
}
