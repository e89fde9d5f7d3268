/* The rules of a JobSpec that can be judged from the spec alone. Client, daemon and worker call the
 * same function; what depends on files (sizes, shapes, class counts) is the worker's to find. */
#ifndef PROTO_WIRE_VALIDATE_H
#define PROTO_WIRE_VALIDATE_H

#include "proto/wire/catalog.h"
#include "proto/wire/job.h"

enum {
    JOB_MAX_LANES = 1024,
    JOB_MAX_THREADS = 1024,
    JOB_MAX_NEEDS = 32,
    JOB_MAX_LOSSES = 64,
    JOB_MAX_CLASSES = 32768,
    JOB_MAX_MILESTONES = 1024,
    JOB_MAX_NAME = 128, /* bytes, as these */
    JOB_MAX_LABELS = 64,
    JOB_MAX_LABEL_KEY = 63,
    JOB_MAX_LABEL_VALUE = 256
};

/* Adds a problem for each rule that is broken, by one job: for a sweep there is sweep_check. Names of models, losses, ... are held against
 * `known`, unless it is NULL. */
void job_validate(const JobSpec *job, const struct catalog *known, struct problems *p);

/* The same of its labels, by job_label_fits, for jobs that are new: those that earlier versions took are run whatever is in
 * theirs. */
void job_check_labels(const JobSpec *job, struct problems *p);

/* 1 to 128 bytes; ERR_INVALID otherwise. */
bool job_name_fits(const char *name, struct error *err);
/* The key: letters, digits, '-', '.', '_' and '/', a letter or digit first and last, so that KEY:VALUE has one meaning. The
 * value: no control characters; may be empty. ERR_INVALID otherwise. Of whatever has labels. */
bool job_label_fits(const char *key, const char *value, struct error *err);

/* 1, 2, 4, ... up to the lanes; fills err with a sentence that names both otherwise. */
bool job_ranks_fit(int64_t ranks, int64_t lanes, struct error *err);
/* Whether a job that left its ranks to others may run on so many; likewise. */
bool job_ranks_allowed(int64_t ranks, int64_t min, int64_t max, struct error *err);

#endif
