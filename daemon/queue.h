/* Which waiting jobs start now, and where: a pure function of the queue and of the hosts.
 *
 * A slot is one core; a job needs ranks x threads of them, all at once or none (its ranks wait for
 * each other). First come, first served: a job that does not fit yet holds back those behind it, or
 * small jobs could keep a large one waiting for ever. A job that would not fit if all hosts that are up
 * were free holds nobody back. */
#ifndef DAEMON_QUEUE_H
#define DAEMON_QUEUE_H

#include "daemon/place.h"

struct queue_job {
    int64_t ranks, threads;
    int64_t *given; /* the decision: ranks on each host, to be freed; NULL: it waits */
};

/* Decides for jobs in the order of their arrival, and takes their slots from what is free. */
void queue_decide(struct queue_job *jobs, size_t n, struct place_host *hosts, size_t n_hosts);

#endif
