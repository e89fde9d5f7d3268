/* Changes of a job's state: durable first, then told, then acted upon. */
#ifndef DAEMON_LIFECYCLE_H
#define DAEMON_LIFECYCLE_H

#include "daemon/daemon.h"

/* Within a transaction: stores new jobs, at least one, which get the ids that follow `last` (updated), and their events,
 * from first_event on. */
bool lifecycle_store(struct daemon *d, struct job *const *jobs, size_t n, char last[JOB_ID_SIZE],
                     uint64_t first_event, struct error *err);
/* When the transaction is committed: the daemon has the job; the caller may go on reading it unless it is over
 * already. Jobs in the order in which they were stored, so that their events have the ids they were stored under.
 * What is logged is added to `log` (log_add). */
void lifecycle_admit(struct daemon *d, struct job *take_job, struct buf *log);
/* Both, for one job: true once it is on disk. */
bool lifecycle_submit(struct daemon *d, struct job *take_job, struct error *err);

/* Applies an event to a job that is not over. reason: NULL clears it. When the job is over after it, `a`
 * is gone. ERR_CONFLICT when the event has no place in the job's state; after an error nothing has
 * changed. */
bool lifecycle_apply(struct daemon *d, struct active *a, enum job_event event,
                     const struct reason *reason, struct error *err);

/* What users ask for, by id. Asking for what is already so is fine. */
bool lifecycle_retry(struct daemon *d, const char *id, struct error *err);
/* grace_s: ranks may take so long for a checkpoint before they are killed, which with 0 is done at once; -1: as long as for
 * any stop. One that is being cancelled can so be hastened, and never gets longer. Durable; after a restart of the daemon
 * the time counts anew. */
bool lifecycle_cancel(struct daemon *d, const char *id, int64_t grace_s, struct error *err);
/* Gives a job that is not over another number of ranks: a running attempt stops for it. The number must
 * fit the job. why NULL: a user asked for it. */
bool lifecycle_resize(struct daemon *d, struct active *a, int64_t ranks, const struct reason *why,
                      struct error *err);

/* Lets a job wait until it is released: a running attempt stops for it, with a checkpoint. *already: it was so.
 * A sweep that is held makes no more jobs; those that it has made go on. */
bool lifecycle_hold(struct daemon *d, const char *id, bool hold, bool *already, struct error *err);

/* What users may change of a job, NULL or false: left as it is. Its result does not depend on it. */
struct job_edit {
    const char *name;
    const struct json *labels; /* in place of those that it has */
    bool has_priority;
    int64_t priority;
};
/* ERR_CONFLICT for the priority of a job that is over. */
bool lifecycle_edit(struct daemon *d, const char *id, const struct job_edit *e, struct error *err);

enum {
    LIFECYCLE_NAME = JOB_ID_SIZE + 8
};
/* What a job is told of another one, for which it stops: no more than that there is one, if it is of another
 * project. */
void lifecycle_name_for(const struct job *j, const struct job *other, char out[LIFECYCLE_NAME]);
/* Stops a running attempt for another job, as for a hold; it stands in line again at once. */
bool lifecycle_preempt(struct daemon *d, struct active *a, const struct job *by, struct error *err);

/* Asks the ranks of a running job for a checkpoint at the next step boundary; they go on. Nothing of it is kept: should the
 * attempt end before, there is none. ERR_CONFLICT for a job that does not run, or has none. */
bool lifecycle_checkpoint(struct daemon *d, const char *id, struct error *err);
/* Stops a running attempt, because a user wants others to go first: all that wait when it has stopped. *already: it was
 * asked for, and the job has not started again. ERR_CONFLICT for one that does not run. */
bool lifecycle_step_back(struct daemon *d, const char *id, bool *already, struct error *err);

/* Jobs of an earlier run of the daemon. */
bool lifecycle_load(struct daemon *d, struct error *err);

/* Publishes an event about a job. */
void lifecycle_tell(struct daemon *d, const char *kind, const struct job *j,
                    struct json *take_data);
/* The same, of JSON text in one line. */
void lifecycle_tell_text(struct daemon *d, const char *kind, const struct job *j, char *take_text);

#endif
