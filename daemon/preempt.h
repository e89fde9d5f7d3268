/* Whose slots a more important job takes: a pure function. */
#ifndef DAEMON_PREEMPT_H
#define DAEMON_PREEMPT_H

#include "daemon/place.h"

/* A job that runs. */
struct preempt_victim {
    const int64_t *ranks; /* on each host */
    int64_t threads, priority;
    int64_t ran_ms; /* by its present attempt */
    bool may;       /* it allows it, and has run long enough */
    bool chosen;    /* the decision */
};

/* Chooses jobs of lower priority whose slots, with those that are free, let so many ranks start: of the lowest
 * priority first, then those that began last, and none of them in vain. False, and none is chosen, when none is
 * needed or all together are not enough. */
bool preempt_choose(const struct place_host *hosts, size_t n_hosts, int64_t ranks, int64_t threads,
                    int64_t priority, struct preempt_victim *victims, size_t n);

#endif
