/* Jobs that are removed for good, because a user says so or because they are old (gc.h). The rows go first, in one
 * transaction, which leaves a row of another table in their place: from then on the job answers 410, and the rest is
 * only waste. That (folder, points, jobs of a sweep) goes in parts, files on another thread; what a kill leaves of it is
 * found by that row at the next start. */
#ifndef DAEMON_PURGE_H
#define DAEMON_PURGE_H

#include "daemon/daemon.h"

struct purge;
/* Begins with what an earlier run of the daemon has left. */
struct purge *purge_open(struct daemon *d);
void purge_close(struct purge *p); /* after the loop has ended; NULL is fine */

/* Ids that stand in the specs of jobs which are not over, wherever: what they depend on, and whose files they read. */
struct named_id {
    char id[JOB_ID_SIZE], by[JOB_ID_SIZE];
};
struct named {
    VEC(struct named_id) ids;
};
/* A sweep is named with each of its jobs. As of now. */
void named_take(struct daemon *d, struct named *n);
void named_free(struct named *n);
/* Which job names it; NULL: none. */
const char *named_by(const struct named *n, const char *id);

/* The job, if it may be removed now: NULL with ERR_NOT_FOUND or ERR_GONE, or ERR_CONFLICT: it or a part
 * of it is not over, it is a part of a sweep, or it is named. job_destroy */
struct job *purge_look(struct daemon *d, const char *id, const struct named *n, struct error *err);
/* Within a transaction. cause: who has it removed, for those who ask later. */
bool purge_store(struct daemon *d, const struct job *j, const char *cause, struct error *err);
/* After its commit: tells of it, and sees to the rest. */
void purge_stored(struct daemon *d, const struct job *j);

/* Tries again what could not be cleared away. */
void purge_hourly(struct daemon *d);

/* Calls fn once, when nothing is left to be done that can be done now; at once if that is so. */
void purge_when_idle(struct daemon *d, void (*fn)(void *arg), void *arg);

#endif
