/* What the end of an attempt means for its job: a pure function. */
#ifndef DAEMON_OUTCOME_H
#define DAEMON_OUTCOME_H

#include "daemon/attempt.h"
#include "daemon/job.h"

/* Statuses of the worker (see `distill-worker --help`): 0 done; 3 cancelled; 75 and every end by a
 * signal, or of a shim that was told to stop, may be mended by another attempt, of which there are
 * max_attempts. A lost host is not the job's fault: such attempts do not count among them, but may be
 * ten at most. The rest is final. 75 (or SIGUSR1) after a resize was asked for is that
 * resize. A job that a user has cancelled is cancelled however its attempt
 * ended, unless it got done. */
enum job_event outcome_of(const struct attempt_exit *e, const struct job *j, struct reason *why);

#endif
