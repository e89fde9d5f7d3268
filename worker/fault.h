/* Faults on purpose, for tests: DISTILLD_FAULT=rank:1,step:37,kind:exit|abort|spin|nan. They strike in a
 * job's first attempt only, so that a retry can succeed. */
#ifndef WORKER_FAULT_H
#define WORKER_FAULT_H

#include <stddef.h>
#include <stdint.h>

/* After `step` steps were finished, before the gradients of the next are summed. `grads` is what kind:nan
 * spoils. */
void fault_strike(int rank, int64_t step, float *grads);

#endif
