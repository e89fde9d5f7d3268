/* When a step was taken, and in which epoch: by the ends of epochs in timing.jsonl of a run, in between as if all steps of
 * an epoch took the same time. */
#ifndef DAEMON_STEPCLOCK_H
#define DAEMON_STEPCLOCK_H

#include <stdint.h>

#include "proto/base/error.h"

struct stepclock;

/* Takes fd, which may be -1. NULL with err where no epoch has ended. */
struct stepclock *stepclock_open(int take_fd, struct error *err);
void stepclock_close(struct stepclock *c); /* NULL is fine */

/* Unix time in seconds. NaN in an epoch that has not ended, and for steps of an attempt that did not come to the end of
 * theirs. */
double stepclock_time(const struct stepclock *c, int64_t step);
/* Epochs that were over then, and the part of the one that was going on, by the longest epoch so far. */
double stepclock_epoch(const struct stepclock *c, int64_t step);

#endif
