/* Attempts while they run. An attempt belongs to its shim, not to the daemon: after a restart it is found
 * again by the lock that its shim holds, and its end by the record that the shim left. */
#ifndef DAEMON_ATTEMPTS_H
#define DAEMON_ATTEMPTS_H

#include "daemon/daemon.h"

/* Starts the newest attempt of a job; when that fails, the attempt is over. */
void attempts_launch(struct daemon *d, struct active *a);
/* Asks the ranks to stop at a step boundary, and ends them by force if they do not in time. */
void attempts_stop(struct daemon *d, struct active *a);
/* Asks them to stop at a step boundary with a checkpoint, so that another attempt goes on: by a signal if
 * rank 0 does not connect, but never by force. */
void attempts_preempt(struct daemon *d, struct active *a);

/* Ends what is left of an attempt (j->id, j->attempt) that is no active job's, at once, and waits for it: a few seconds at
 * most. On other hosts it ends as its lease runs out. */
void attempts_put_down(struct daemon *d, const struct job *j);

/* Whether it has an attempt, and how long that has lasted. */
bool attempts_running(const struct active *a);
int64_t attempts_lasted_ms(const struct daemon *d, struct active *a);
/* How much longer its time limit lets it run, this attempt included; INT64_MAX: it has none. */
int64_t attempts_left_ms(const struct daemon *d, struct active *a);

/* Writes a line to the log of its rank 0, for whoever wonders: best effort. */
void attempts_say(const struct daemon *d, const struct job *j, const char *line);

/* Looks after all attempts from now on, also those that an earlier run of the daemon left behind. */
void attempts_watch(struct daemon *d);
/* Lets go of them; they go on. */
void attempts_release(struct daemon *d);

#endif
