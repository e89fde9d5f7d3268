/* Which waiting jobs start now, and where: a pure function of the queue and of the hosts.
 *
 * The job with the highest priority comes first; waiting makes up for priority, one point in
 * QUEUE_AGING_MS, so that no stream of more important jobs keeps one waiting for ever. As all of them age
 * alike, their order does not change while they wait: two jobs stand as their priorities and the times
 * of their arrival say. Within a priority that is the order of arrival. Before all others come jobs that
 * only stopped to go on with other ranks: what they held stays theirs.
 *
 * A slot is one core; a job needs ranks x threads of them, all at once or none (its ranks wait for
 * each other). A job that does not fit yet holds back those behind it, or small jobs could keep a large
 * one waiting for ever. A job that would not fit if all hosts that are up were free holds nobody back. */
#ifndef DAEMON_QUEUE_H
#define DAEMON_QUEUE_H

#include "daemon/place.h"

enum {
    QUEUE_AGING_MS = 10 * 60 * 1000
};

struct queue_job {
    int64_t ranks, threads;
    int64_t priority, arrived_ms;
    bool resizing;  /* it stopped to go on with other ranks */
    size_t arrival; /* its place in the order of arrival, which queue_order sets */
    int64_t *given; /* the decision: ranks on each host, to be freed; NULL: it waits */
};

/* Puts jobs that stand in the order of their arrival into the order of the queue. */
void queue_order(struct queue_job *jobs, size_t n);
/* Decides for jobs in the order of the queue, and takes their slots from what is free. */
void queue_decide(struct queue_job *jobs, size_t n, struct place_host *hosts, size_t n_hosts);

#endif
