/* The run directory (--out DIR): one job's results, one writer at a time. Only rank 0 writes here,
 * but for the log that each of the others has. */
#ifndef WORKER_RUNDIR_H
#define WORKER_RUNDIR_H

#include "proto/wire/job.h"

struct rundir {
    char *path;
    int lock_fd; /* held while the job runs */
};

/* Makes the folder, takes its lock (another writer is ERR_CONFLICT), and holds the job against the
 * spec.json of an earlier run: what may change a result must be the same, else ERR_INVALID shows the
 * fields. */
bool rundir_open(struct rundir *d, const char *path, const JobSpec *job, struct error *err);
/* Writes spec.json: from now on the folder is this job's. Not before its inputs are known to be good, so
 * that a job can be corrected and run again in the same folder. */
bool rundir_claim(const struct rundir *d, const JobSpec *job, struct error *err);
void rundir_close(struct rundir *d);

/* From now on this process's standard error is appended to logs/rank-K.log. */
bool rundir_take_errors(const struct rundir *d, int rank, struct error *err);

/* path/name; free() */
char *rundir_file(const struct rundir *d, const char *name);
bool rundir_write_json(const struct rundir *d, const char *name, const struct json *j,
                       struct error *err);
/* Appends one line to a .jsonl file that nothing depends on. */
void rundir_append_json(const struct rundir *d, const char *name, struct json *take_line);

#endif
