/* What the daemon knows, on disk: STATE/state.db (jobs, attempts, history, browser sessions; a commit
 * that returned is durable) and STATE/metrics.db (points, which can be read again from the run
 * directories). */
#ifndef DAEMON_STORE_H
#define DAEMON_STORE_H

#include "daemon/attempt.h"
#include "daemon/histogram.h"
#include "daemon/job.h"
#include "proto/base/sha256.h"

struct db;
struct store;

struct store *store_open(const char *state_dir, struct error *err);
/* state.db alone, for reading (db_open_reader). */
struct store *store_open_reader(const char *state_dir, struct error *err);
void store_close(struct store *s); /* NULL is fine */

/* When the disk has failed to keep what was written to one of the files (db_on_broken). */
void store_on_broken(struct store *s, void (*fn)(void *arg), void *arg);
/* When the log of one of the files is to be written back (db_on_long_log). */
void store_on_long_log(struct store *s, void (*fn)(void *arg, struct db *db), void *arg);
/* Why state.db cannot be written; NULL when it can, which is tried out if it could not the last time. */
const char *store_trouble(struct store *s, struct error *err);

/* state.db, for the files that keep tables of their own there (models.c, datasets.c, uploads.c, refs.c). */
struct db *store_state(struct store *s);

/* Changes between begin and commit become durable together, or not at all. */
bool store_begin(struct store *s, struct error *err);
bool store_commit(struct store *s, struct error *err);
void store_rollback(struct store *s);

/* New ones; sets the seq of each. */
bool store_jobs_add(struct store *s, struct job *const *jobs, size_t n, struct error *err);
/* Everything that may change; a state that is final in the file changes only to queued. */
bool store_job_update(struct store *s, const struct job *j, struct error *err);
/* Name, priority and spec, whatever its state. */
bool store_job_edit(struct store *s, const struct job *j, struct error *err);
/* NULL with ERR_NOT_FOUND, or ERR_GONE for one that was removed; job_destroy. */
struct job *store_job_get(struct store *s, const char *id, struct error *err);
/* The spec as it was sent; of a job that nobody sent, or that came before such were kept, the normalised one; free(). */
bool store_job_written(struct store *s, const char *id, char **out, struct error *err);
/* The last state also of one that was removed; of a damaged row as it is shown: failed. ERR_NOT_FOUND: there never was such a job. */
bool store_job_state(struct store *s, const char *id, enum job_state *out, struct error *err);
/* Also of one that was removed. ERR_NOT_FOUND: there never was such a job. */
bool store_job_project(struct store *s, const char *id, char out[REF_NAME_SIZE], struct error *err);
/* "" before the first; those that were removed count. */
bool store_last_job_id(struct store *s, char out[JOB_ID_SIZE], struct error *err);

/* The seq of the newest: there are so many at most; 0: none. */
int64_t store_last_job(struct store *s);

typedef void (*store_job_fn)(struct job *take_job, void *arg);
/* Jobs that are not final, oldest first; with them damaged rows that say so, or whose state is none, as failed. */
bool store_jobs_active(struct store *s, store_job_fn fn, void *arg, struct error *err);
/* Which jobs are meant: NULL, and JOB_STATE_COUNT, stand for any. */
struct job_filter {
    enum job_state state;
    const char *kind, *name, *project, *owner, *label, *label_value;
    const char *sweep; /* those that it has made; NULL: those that no sweep has made */
    const char *only;  /* nothing of other projects; NULL: no matter whose */
    /* In the name, or what the id begins with; in letters of either case, of ASCII. */
    const char *text;
    int64_t after, before; /* seq: those that came between; 0: no matter when */
    bool oldest_first;
};
/* At most `limit` of those jobs that follow `from` (0: from the first) in their order: newest first, unless the filter says
 * otherwise. */
bool store_jobs_page(struct store *s, int64_t from, int64_t limit, const struct job_filter *f,
                     store_job_fn fn, void *arg, struct error *err);
/* Through which jobs a page of those is looked for, where no index leads to them. */
enum jobs_among {
    JOBS_AT_HAND,
    JOBS_AMONG_ACTIVE, /* those that are not over */
    JOBS_AMONG_ALL
};
enum jobs_among store_jobs_among(const struct job_filter *f);
/* The seq of the first job whose id has that time, of the wall clock, or a later one; INT64_MAX: there is none. */
bool store_job_at(struct store *s, int64_t wall_ms, int64_t *seq, struct error *err);
/* Jobs in each state. */
bool store_job_counts(struct store *s, int64_t counts[JOB_STATE_COUNT], struct error *err);

/* Jobs that are removed (purge.h): their rows first, then what else there is of them. A row of another table stays for
 * good, so that no id is given again and everybody is told what became of it. */
struct purged {
    int64_t seq; /* that the job had */
    char id[JOB_ID_SIZE], name[132], cause[64];
    enum job_state state;
    bool damaged; /* its row was */
    int64_t at_ms;
};
/* Within a transaction. ERR_CONFLICT: the job is not over, nor damaged, or not there. */
bool store_purge(struct store *s, const struct purged *p, struct error *err);
/* ERR_NOT_FOUND */
bool store_purged_find(struct store *s, const char *id, struct purged *out, struct error *err);
/* At most `limit` of which something remains, with seq > after, by seq. */
bool store_purged_remains(struct store *s, int64_t after, int64_t limit,
                          void (*fn)(const struct purged *p, void *arg), void *arg,
                          struct error *err);
/* Nothing remains of it. */
bool store_purged_done(struct store *s, int64_t seq, struct error *err);

/* What a collection asks of jobs (gc_plan.c). Those that ended before then, but those of sweeps, the first that ended
 * first. */
struct ended_row {
    const char *id;
    enum job_state state;
    int64_t ended_ms, sweep_total, attempt;
};
typedef void (*ended_fn)(const struct ended_row *row, void *arg);
bool store_ended_before(struct store *s, int64_t before_ms, int64_t limit, ended_fn fn, void *arg,
                        struct error *err);
/* The job; state JOB_STATE_COUNT when it is none that is over. False with ERR_NOT_FOUND. */
bool store_ended(struct store *s, const char *id, struct ended_row *out, struct error *err);
/* The sweep that has made the job; "" for none. */
bool store_sweep_of(struct store *s, const char *id, char out[JOB_ID_SIZE], struct error *err);
/* At most `limit` jobs of the sweep with a number above `after`. */
bool store_sweep_ids(struct store *s, const char *sweep, int64_t after, int64_t limit,
                     void (*fn)(const char *id, int64_t index, void *arg), void *arg,
                     struct error *err);
bool store_attempt_exists(struct store *s, const char *job, int64_t number);

/* A job of a sweep that did not succeed in an earlier attempt of the sweep and has not been put into the
 * queue in this one; "" for none. */
bool store_sweep_redo(struct store *s, const struct job *sweep, char out[JOB_ID_SIZE],
                      struct error *err);
/* Such a job gets another spec. */
bool store_sweep_spec(struct store *s, const char *id, const char *spec, struct error *err);
/* Such a job is left as it is in this attempt, the round, of its sweep. */
bool store_sweep_skip(struct store *s, const char *id, int64_t round, struct error *err);
/* The jobs of a sweep with numbers first <= k < end, in this order. */
struct sweep_row {
    int64_t index;
    const char *id, *state, *result; /* result "": none */
};
bool store_sweep_jobs(struct store *s, const char *sweep, int64_t first, int64_t end,
                      void (*fn)(const struct sweep_row *row, void *arg), void *arg,
                      struct error *err);

/* Answers that may have to be given again, by Idempotency-Key. */
struct stored_reply {
    char body_sha256[SHA256_HEX]; /* of the request */
    char job[JOB_ID_SIZE];
    int status;
    char *text; /* free(); NULL: there is none */
};
bool store_reply_find(struct store *s, const char *key, struct stored_reply *out,
                      struct error *err);
bool store_reply_add(struct store *s, const char *key, const struct stored_reply *reply,
                     int64_t now_ms, struct error *err);
bool store_replies_forget(struct store *s, int64_t before_ms, struct error *err);

/* Whether jobs may start. */
bool store_paused(struct store *s, bool *out, struct error *err);
bool store_set_paused(struct store *s, bool paused, struct error *err);
/* When this was copied (wall clock), if it is a copy that has taken the place of state.db, and nobody has looked yet at what
 * came since (salvage.h); 0: it is none. The name of the setting is for whoever makes it so. */
#define STORE_RECOVERED "recovered"
bool store_recovered(struct store *s, int64_t *copied_ms, struct error *err);
bool store_set_recovered(struct store *s, struct error *err); /* somebody has */
/* Since when a host takes no jobs, because a user said so; 0: it does. */
bool store_drained(struct store *s, const char *host, int64_t *since_ms, struct error *err);
bool store_set_drained(struct store *s, const char *host, int64_t since_ms, struct error *err);

/* How long commits of state.db took, since the start. */
const struct histogram *store_commit_seconds(const struct store *s);

struct attempt_row {
    int64_t number, started_ms, ended_ms; /* ended_ms 0: not yet */
    const char *placement;                /* see struct job */
    struct attempt_exit end;
};
bool store_attempt_add(struct store *s, const char *job, int64_t number, int64_t started_ms,
                       const char *token_sha256, const char *placement, struct error *err);
/* 0 if there is no such attempt. */
int64_t store_attempt_started_ms(struct store *s, const char *job, int64_t number);
bool store_attempt_end(struct store *s, const char *job, int64_t number, int64_t ended_ms,
                       const struct attempt_exit *end, struct error *err);
/* The hash of the newest attempt's token. */
bool store_attempt_token(struct store *s, const char *job, int64_t number, char hex[SHA256_HEX],
                         struct error *err);
bool store_attempts(struct store *s, const char *job,
                    void (*fn)(const struct attempt_row *row, void *arg), void *arg,
                    struct error *err);

/* History: one row for each change of a job's state, under the id of its event. */
struct event_row {
    int64_t id, at_ms;
    const char *state, *code, *message;
};
bool store_event_add(struct store *s, uint64_t id, int64_t at_ms, const struct job *j,
                     struct error *err);
/* The first of each job, of the time at which it was created. Their ids follow each other. */
bool store_arrivals_add(struct store *s, uint64_t first_id, struct job *const *jobs, size_t n,
                        struct error *err);
bool store_events(struct store *s, const char *job,
                  void (*fn)(const struct event_row *row, void *arg), void *arg, struct error *err);
/* The first event id that no run of the daemon has given yet, and the promise that ids below `below`
 * may be given from now on. */
bool store_first_event_id(struct store *s, uint64_t *out, struct error *err);
bool store_reserve_events(struct store *s, uint64_t below, struct error *err);

/* Points of a job. The offset is how much of its metrics.jsonl they came from; both are committed
 * together. */
struct metric_point {
    const char *name, *split;
    int64_t step;
    double value; /* NaN: not finite */
};
int64_t store_metrics_offset(struct store *s, const char *job);
bool store_metrics_add(struct store *s, const char *job, const struct metric_point *points,
                       size_t n, int64_t offset, struct error *err);
/* Forgets them. */
bool store_metrics_reset(struct store *s, const char *job, struct error *err);
/* The same in parts, of about `limit` points each: *more says whether some are left. */
bool store_metrics_trim(struct store *s, const char *job, int64_t limit, bool *more,
                        struct error *err);
/* The series that a job has, by name and split. */
struct series_row {
    const char *name, *split;
    int64_t first, last, points; /* steps, and how many */
};
bool store_metrics_catalogue(struct store *s, const char *job,
                             void (*fn)(const struct series_row *row, void *arg), void *arg,
                             struct error *err);
struct metric_query {
    const char *job, *name; /* name NULL: all */
    int64_t from, to;       /* steps, both included */
};
/* Series by name and split, points by step. A new series begins where name or split changes. */
bool store_metrics_read(struct store *s, const struct metric_query *q,
                        void (*fn)(const struct metric_point *p, void *arg), void *arg,
                        struct error *err);

#endif
