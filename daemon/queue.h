/* Which waiting jobs start now: a pure function of the queue and of the free slots.
 *
 * A slot is one core; a job needs ranks x threads of them, all at once or none (its ranks wait for
 * each other). First come, first served: a job that does not fit yet holds back those behind it, or
 * small jobs could keep a large one waiting for ever. A job that needs more than there are in all
 * holds nobody back. */
#ifndef DAEMON_QUEUE_H
#define DAEMON_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue_job {
    int64_t need; /* slots */
    bool start;   /* the decision */
};

/* Decides for jobs in the order of their arrival; returns the slots that stay free. */
int64_t queue_decide(struct queue_job *jobs, size_t n, int64_t slots, int64_t free_slots);

#endif
