/* What the end of an attempt means for its job: a pure function. */
#ifndef DAEMON_OUTCOME_H
#define DAEMON_OUTCOME_H

#include "daemon/attempt.h"
#include "daemon/job.h"

struct outcome {
    enum job_event event;
    enum failure failure; /* why it did not get done; none if it did, or was asked to end */
    int64_t wait_ms;      /* EV_AGAIN: until the next attempt may start */
    struct reason why;
};

/* Statuses of the worker (see `distill-worker --help`): 0 done; 1 it failed; 2 it refused the job; 65 data
 * cannot be used; 74, which it says to a shim alone, a file cannot be read or written, which may be otherwise
 * later; 3 cancelled; 75 stopped with a checkpoint, which after it was asked for (a resize, a hold; also
 * SIGUSR1) is no failure. What the shim found out by itself goes before the status. Ends of a class that has
 * more attempts left in the policy are tried again; j->failures counts those before this one. A job that a
 * user has cancelled is cancelled however its attempt ended, unless it got done. One whose time is over
 * (j->ran_ms has this attempt in it) is not tried again. One of which nothing ran costs nothing. */
struct outcome outcome_of(const struct attempt_exit *e, const struct job *j,
                          const struct retry_policy *policy);

#endif
