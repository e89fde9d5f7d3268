/* A sweep: a spec whose member `sweep` names values for its fields. Each combination of the values is a
 * point; each point with each seed is a job of its own. The spec of that job is the rest of the sweep's,
 * as it was written, with these values in their places: a default that follows from a field follows from
 * the field's value in that job.
 *
 * Points count from 0 and the last field changes fastest; job k belongs to point k / seeds and has seed
 * k % seeds. Nothing here takes longer when there are more of them. */
#ifndef PROTO_WIRE_SWEEP_H
#define PROTO_WIRE_SWEEP_H

#include "proto/wire/job.h"

enum {
    SWEEP_MAX_JOBS = 1000000000,
    SWEEP_MAX_FIELDS = 64,
    SWEEP_MAX_VALUES = 4096 /* of all fields together: each is tried when the sweep is submitted */
};

struct sweep;

/* Reads the sweep of a spec. NULL with problems, or without when the spec has none. */
struct sweep *sweep_new(const struct json *spec, struct problems *p);
void sweep_free(struct sweep *s); /* NULL is fine */

int64_t sweep_jobs(const struct sweep *s);
int64_t sweep_points(const struct sweep *s);
int64_t sweep_seeds(const struct sweep *s);    /* of each point; at least 1 */
int64_t sweep_parallel(const struct sweep *s); /* 0: as many as the slots allow */
int64_t sweep_baseline(const struct sweep *s); /* the point that others are compared with */

/* What all its jobs have: the spec without the sweep. Borrowed. */
const struct json *sweep_base(const struct sweep *s);
/* The spec of job k in JSON form. NULL where a value has no place: it is in a list that another value
 * has made too short, for example. */
struct json *sweep_spec(const struct sweep *s, int64_t k, struct error *err);
/* {"field": value, ..}: what sets a point apart. */
struct json *sweep_values(const struct sweep *s, int64_t point);
/* The seed of job k; null where the sweep names none. */
struct json *sweep_seed(const struct sweep *s, int64_t k);

/* The rules that one job must keep. */
typedef void (*sweep_rules)(const JobSpec *job, struct problems *p, void *arg);

/* Reads a spec and holds it against the rules, that of a sweep with each value in its place beside the
 * first values of the other fields: the sum of the values, not their product. The rules of combinations
 * that this leaves out are held against a job when it is made. Problems of a value have its place.
 *
 * Returns the job, of a sweep the first one; NULL, with problems, when there is none to be read. */
JobSpec *sweep_check(const struct json *spec, sweep_rules rules, void *arg, struct problems *p);

#endif
