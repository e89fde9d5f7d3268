/* Names of the registry in jobs (ref.h). When a job is accepted, each is pinned in its spec
 * ("model:big" becomes "model:big@3") and noted with the hash of what it stands for; what the worker gets
 * has paths in their place. */
#ifndef DAEMON_REFS_H
#define DAEMON_REFS_H

#include "daemon/daemon.h"
#include "proto/base/sha256.h"
#include "proto/wire/problems.h"
#include "proto/wire/ref.h"

/* Pins the names in a spec as it came, and fills in what follows from them: the `model` of weights, and a
 * teacher's normalisation. In a sweep names are pinned wherever they stand, and nothing is filled in: that
 * is done in each of its jobs. Adds what is wrong with them. */
void refs_pin(struct daemon *d, struct json *spec, struct problems *p);
/* Whether a spec that is no sweep has any. Any thread. */
bool refs_has_names(const struct json *spec);
/* Within the transaction that adds the job: notes what its names stand for, those of a sweep's values
 * too. */
bool refs_note(struct daemon *d, const struct job *j, struct error *err);
/* The job's spec as the worker takes it; free(). NULL with ERR_CONFLICT: a name stands for something else
 * now, or for nothing. */
char *refs_plain(struct daemon *d, const struct job *j, struct error *err);

/* What a field of the job ("teacher.weights", "student.weights", "data.source") was said to stand for;
 * false when it was no name. */
struct ref_use {
    struct ref ref;
    char sha256[SHA256_HEX];
};
bool refs_use(struct daemon *d, const char *job, const char *field, struct ref_use *out);
/* [{"field", "name", "version", "sha256"}] of a job. */
struct json *refs_json(struct daemon *d, const char *job);
/* Notes what that has told, as it was then, whatever the names stand for now. */
bool refs_restore(struct daemon *d, const char *job, const struct json *uses, struct error *err);

/* A job that is not over and uses it; "" when there is none. version 0: a data set. */
bool refs_busy(struct daemon *d, const char *name, int64_t version, char job[JOB_ID_SIZE],
               struct error *err);

#endif
