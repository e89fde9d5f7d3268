/* Counter-based random numbers: a value is a pure function of a key and an index, so that results do
 * not depend on who draws first, on how many ranks or threads there are, or on where a run was
 * resumed. Derive keys by purpose, epoch, sample: rng_key(rng_key(seed, RNG_CROP), epoch).
 *
 * The mixing function is the finaliser of SplitMix64 (Steele, Lea, Flood 2014), applied to a counter
 * that steps by the golden ratio, once more for every level of the key. */
#ifndef PROTO_BASE_RNG_H
#define PROTO_BASE_RNG_H

#include <stdint.h>

/* Purposes; part of the determinism contract, so numbers are never reused or changed. */
enum rng_purpose {
    RNG_SHUFFLE = 1,
    RNG_CROP = 2,
    RNG_FLIP = 3,
    RNG_DROPOUT = 4,
    RNG_INIT = 5,
    RNG_SYNTHETIC = 6,
    RNG_HOLD_OUT = 20,
    RNG_MEANS = 21,
    RNG_MIX = 22,
};

uint64_t rng_key(uint64_t key, uint64_t part);
/* A key from text (FNV-1a), for streams that are named: parameters, golden vectors. */
uint64_t rng_key_text(uint64_t key, const char *text);
uint64_t rng_u64(uint64_t key, uint64_t index);
/* In [0, n); n > 0. The bias is below n / 2^64. */
uint64_t rng_below(uint64_t key, uint64_t index, uint64_t n);
/* In [0, 1), 53 bits. */
double rng_uniform(uint64_t key, uint64_t index);
/* Standard normal, by Box and Muller; uses the two numbers 2*index and 2*index+1 of the stream. */
double rng_normal(uint64_t key, uint64_t index);
/* Beta with shapes a and b, both above 0; the key is used for this one value. */
double rng_beta(uint64_t key, double a, double b);

#endif
