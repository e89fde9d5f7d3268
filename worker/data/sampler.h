/* Which samples, in which order, on which lane. Pure functions; the determinism contract rests on
 * them (contract.md 4: lanes, cut, randomness). */
#ifndef WORKER_DATA_SAMPLER_H
#define WORKER_DATA_SAMPLER_H

#include <stdint.h>

/* The order of epoch `epoch`: a permutation of 0..n-1, by Fisher and Yates with numbers keyed by
 * (seed, RNG_SHUFFLE, epoch). */
void sampler_shuffle(uint64_t seed, int64_t epoch, int64_t n, int64_t *order_out);

/* Steps of one epoch: the last batch may be short, nothing is dropped. */
int64_t sampler_steps(int64_t samples, int64_t batch);
/* Samples in batch b of an epoch. */
int64_t sampler_batch_size(int64_t samples, int64_t batch, int64_t b);

/* Lane l of a batch of n samples has the positions [cut(n, L, l), cut(n, L, l+1)): floor(l n / L). */
int64_t sampler_cut(int64_t n, int64_t lanes, int64_t lane);

#endif
