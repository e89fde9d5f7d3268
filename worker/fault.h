/* Faults on purpose, for tests: DISTILLD_FAULT=rank:1,step:37,kind:K, K being exit, abort, spin (compute
 * for ever), sleep (for ever), segv, stop (SIGSTOP) or nan. They strike in a job's first attempt only, so
 * that a retry can succeed. DISTILLD_FAULT=slow:MS lets every step of every rank take MS milliseconds longer, in all
 * attempts: a job that is still at it when others look at it, and leaves them the processor. */
#ifndef WORKER_FAULT_H
#define WORKER_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

/* False when the variable is set and says nothing that can be done. */
bool fault_check(struct error *err);

/* After `step` steps were finished, before the last gradients of the next, the first of all, are summed over
 * ranks. `grads` is what kind:nan spoils. */
void fault_strike(int rank, int64_t step, float *grads);

#endif
