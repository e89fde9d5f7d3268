/* Sweeps while they go on. A sweep makes its jobs one after another, as ordinary jobs of the queue: there
 * is never more than one of them that waits for its first attempt, so that a sweep of a million jobs has
 * few rows on disk, and jobs that come after it have their turn beside it. The next job is always the one
 * after the newest on disk, and its number is unique there: a daemon that is killed loses none and makes
 * none twice.
 *
 * A sweep is over when all its jobs are: it succeeded if all of them did. Cancelled, it makes no more and
 * cancels those it has made; run again, it goes on with those that did not succeed, then with the rest. */
#ifndef DAEMON_SWEEPS_H
#define DAEMON_SWEEPS_H

#include "daemon/daemon.h"

/* Makes what can be made now, and ends sweeps that are over. A part of each look at the queue. */
void sweeps_pass(struct daemon *d);

/* Takes note of a change of a job's state, if a sweep has made it; JOB_STATE_COUNT: it is new. */
void sweeps_note(struct daemon *d, const struct job *j, enum job_state before);

/* A job that did not succeed is to be queued again: if a sweep has made it, the sweep must be going on.
 * ERR_CONFLICT otherwise. */
bool sweeps_take_back(struct daemon *d, struct job *j, struct error *err);

#endif
