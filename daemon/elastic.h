/* Which jobs that run go on with other ranks than they have: a pure function of the queue.
 *
 * A job that leaves its ranks to the queue gives some of them up as soon as a job that waits can start by that, and
 * gets more when slots are free. It has to stop for both, so nothing is done on a guess: what the queue would
 * decide after the stop is worked out by the same function that decides then (queue.h), in which a job that stopped
 * for this comes before all others. Fewer ranks: only if some job starts by it that would not start
 * otherwise, and no more are given up than that one needs. More: only if nobody who waits starts later by
 * it, as far as starts are known. Where that depends on jobs without a time limit they are not, and whoever waits
 * then gets the slots back as soon as they are enough for a start. */
#ifndef DAEMON_ELASTIC_H
#define DAEMON_ELASTIC_H

#include "daemon/queue.h"

/* How the queue stands. */
struct elastic_view {
    const struct queue_job *jobs; /* that wait, in order, undecided */
    size_t n;
    const struct queue_running *running; /* all others that run, less those that end anyway */
    size_t n_running;
    const struct place_host *hosts; /* what is free of them, with what those leave */
    size_t n_hosts;
    const struct queue_quota *quotas; /* likewise */
    size_t n_quotas;
    int64_t stop_ms; /* that a stop takes: what others have left by then counts */
};

/* A job that runs, and whose ranks change or may change. */
struct elastic_job {
    struct queue_running run;
    int64_t ranks; /* that it has */
    size_t project;
    bool stopping; /* it was asked to already; it gets from least to most */
    int64_t least,
        most; /* otherwise: what it may have at any time; most is `ranks` where it may not get more now */
    int64_t want; /* the decision: so many, if others than `ranks` */
};

/* Decides for jobs in the order of their worth: those at the end give up their ranks first. One change at a time for
 * more ranks, while nobody stops. False: nobody changes. *starts: which of v->jobs starts because of it; v->n: it is for more ranks. */
bool elastic_decide(const struct elastic_view *v, struct elastic_job *jobs, size_t n,
                    size_t *starts);

#endif
