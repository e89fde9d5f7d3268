/* What an attempt leaves in its folder STATE/jobs/ID/attempts/N, written by the shim and read by the
 * daemon, also by one that was started later (the daemon makes the folder itself):
 *   lock          held (flock) by the shim from before it starts anything until it is gone
 *   attempt.json  who the shim is, and the cgroup of its processes
 *   exit.json     how the attempt ended; durable, and written only when no process is left
 *   job.json      the job as it was last, noted by the daemon (salvage.h)
 *   token         the secret by which its rank 0 shows that it belongs to the attempt (0600)
 *   output.log    what the shim itself has to say */
#ifndef DAEMON_ATTEMPT_H
#define DAEMON_ATTEMPT_H

#include "daemon/failure.h"
#include "daemon/procs.h"
#include "proto/base/error.h"

enum {
    /* Of the records; one that does not say which is of the first. Members are added without changing it: who does not
     * know one passes over it, and one that is missing has a meaning. It rises when an earlier daemon, which may have to
     * look after a later shim, would misunderstand a record. That the lock is held while anything of the attempt lives,
     * and that there is an exit.json once nothing does, holds in all of them. */
    ATTEMPT_FORMAT = 1
};

/* How an attempt ended. */
struct attempt_exit {
    int status;   /* mpirun's exit status */
    int signal;   /* mpirun was ended by it; 0: it was not */
    bool stopped; /* the shim, or its mpirun, was told to end it (SIGTERM) */
    bool lost;    /* nobody saw the end: the shim itself was killed */
    bool unbegun; /* lost before anything of it ran, with the daemon that had begun it */
    /* In the record what the shim found out by looking after the ranks, else none, or infra of an attempt that
     * could not be started; in the store the class of any failure. */
    enum failure class;
    /* Which rank ended it and its last lines, or the last words of all; "" for none. */
    char message[1024];
    int64_t ended_ms;      /* wall clock, as read from a record; 0: not known */
    int64_t ended_boot_ms; /* the same by the time since boot, which nobody sets (clock_boot_s) */
};

/* Who runs an attempt. */
struct attempt_owner {
    struct process shim;
    char cgroup[256]; /* where its processes are; "" for none of its own */
};

/* `id` is the attempt's: JOB.N, N being its generation. Reading: ERR_NOT_FOUND, ERR_UNSUPPORTED for a later format. */
bool attempt_write_owner(const char *dir, const char *id, const struct attempt_owner *owner,
                         struct error *err);
bool attempt_read_owner(const char *dir, struct attempt_owner *owner, struct error *err);
bool attempt_write_exit(const char *dir, const struct attempt_exit *e, struct error *err);
bool attempt_read_exit(const char *dir, struct attempt_exit *e, struct error *err);

/* Takes the lock: its descriptor, or -1. With wait it stands in line, else a held lock is
 * ERR_CONFLICT. ERR_NOT_FOUND: there is no such folder. */
int attempt_lock(const char *dir, bool wait, struct error *err);

#endif
