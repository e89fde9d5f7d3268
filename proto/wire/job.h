/* JobSpec: from text, to text, `--set`, paths, and the form that two runs must share to give the same
 * bytes. */
#ifndef PROTO_WIRE_JOB_H
#define PROTO_WIRE_JOB_H

#include "proto/base/json.h"
#include "proto/wire/job.pb-c.h"
#include "proto/wire/problems.h"

enum {
    JOB_MAX_BYTES = 1 << 20
};

/* Short names for the generated ones. */
typedef Distilld__JobSpec JobSpec;
typedef Distilld__LossSpec LossSpec;

/* Reads a spec and fills in all defaults (also the parts that were left out, except teacher and
 * student). Checks types and names of fields only; the rules are validate.h's. What has a problem is left
 * out, so that validate can judge the rest; NULL only when j is no object. Release with job_free. */
JobSpec *job_from_json(const struct json *j, struct problems *p);
void job_free(JobSpec *job); /* NULL is fine */

/* The normalised form: every default written out, fields in the order of job.proto. */
struct json *job_to_json(const JobSpec *job);
char *job_to_text(const JobSpec *job); /* compact; free() */

/* Puts a value in its place by path, `a.b.0.c`. Objects on the way are made; list elements must exist.
 * The value is released where that fails. */
bool job_put(struct json *spec, const char *path, struct json *take_value, struct error *err);
/* One `a.b.0.c=VALUE` applied to a spec in JSON form. VALUE is JSON if it reads as JSON, else a
 * string. */
bool job_set(struct json *spec, const char *assignment, struct error *err);

/* Applies the assignments to a spec that was read from `path`, and makes relative paths absolute by the
 * folder `base` (NULL: that of the file; of the process for "-"). */
bool job_prepare(struct json *spec, const char *path, const char *base, const char *const *sets,
                 size_t n_sets, struct error *err);
/* What to open for a path: standard input for "-". */
const char *job_file(const char *path);
/* Reads a file of JSON, then as job_prepare. NULL with err: ERR_INVALID also for a file that cannot be
 * read. */
struct json *job_load(const char *path, const char *base, const char *const *sets, size_t n_sets,
                      struct error *err);

/* Calls visit for each path in the spec, also in the grid of its sweep; a changed string is put back. */
typedef char *(*job_path_fn)(const char *pointer, const char *path, void *arg); /* NULL: keep */
void job_visit_paths(struct json *spec, job_path_fn visit, void *arg);

/* The same for the paths of a spec that is read already; none is put back. */
void job_each_path(const JobSpec *spec, job_path_fn visit, void *arg);

/* The spec without what cannot change a result: name, labels, priority, ranks, checkpoint, retry and
 * watchdog policy, paths (their content is identified by hashes of its own), and whether outputs of the teacher
 * are kept as they are. */
struct json *job_result_form(const JobSpec *job);
/* The pointers in which two result forms differ, as "#/train/seed: 1 became 2; ..."; NULL if none. */
char *job_difference(const struct json *before, const struct json *now);

/* "cifar100:/dir" -> scheme "cifar100", rest "/dir". False when there is no colon. */
bool job_split_source(const char *source, char *scheme, size_t size, const char **rest);

const char *job_kind_name(const JobSpec *job);

/* A field of a loss that is a number or one of a list (which counts from 0), by its name; 0 where it is left
 * out. */
double job_loss_number(const LossSpec *loss, const char *field);

#endif
