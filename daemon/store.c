#include "daemon/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/db.h"
#include "daemon/hosts.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

static const char *const state_schema[] = {
    "CREATE TABLE job("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, kind TEXT NOT NULL, spec TEXT NOT NULL,"
    "  max_attempts INTEGER NOT NULL, ranks INTEGER NOT NULL, threads INTEGER NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  state TEXT NOT NULL, reason_code TEXT NOT NULL DEFAULT '',"
    "  reason_message TEXT NOT NULL DEFAULT '', cancel_requested INTEGER NOT NULL DEFAULT 0,"
    "  attempt INTEGER NOT NULL DEFAULT 0, attempt_base INTEGER NOT NULL DEFAULT 0,"
    "  started_ms INTEGER NOT NULL DEFAULT 0, finished_ms INTEGER NOT NULL DEFAULT 0,"
    "  step INTEGER NOT NULL DEFAULT 0, total_steps INTEGER NOT NULL DEFAULT 0,"
    "  epoch INTEGER NOT NULL DEFAULT 0, result TEXT) STRICT;"
    "CREATE INDEX job_state ON job(state, seq);"
    "CREATE TABLE attempt("
    "  job TEXT NOT NULL REFERENCES job(id), number INTEGER NOT NULL,"
    "  started_ms INTEGER NOT NULL, token_sha256 TEXT NOT NULL,"
    "  ended_ms INTEGER NOT NULL DEFAULT 0, status INTEGER NOT NULL DEFAULT 0,"
    "  signal INTEGER NOT NULL DEFAULT 0, stopped INTEGER NOT NULL DEFAULT 0,"
    "  lost INTEGER NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '',"
    "  PRIMARY KEY(job, number)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE event("
    "  id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, job TEXT NOT NULL REFERENCES job(id),"
    "  state TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL) STRICT;"
    "CREATE INDEX event_job ON event(job, id);"
    "CREATE TABLE session(sha256 TEXT PRIMARY KEY, expires_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;"
    "INSERT INTO counter VALUES('event', 1)",
    "ALTER TABLE job ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
    "UPDATE job SET priority = coalesce(json_extract(spec, '$.priority'), 0);"
    "CREATE TABLE reply("
    "  key TEXT PRIMARY KEY, body_sha256 TEXT NOT NULL, job TEXT NOT NULL REFERENCES job(id),"
    "  status INTEGER NOT NULL, text TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT;"
    "CREATE INDEX reply_age ON reply(created_ms);"
    "CREATE TABLE setting(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT",
    "ALTER TABLE attempt ADD COLUMN class TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE job ADD COLUMN attempt_ranks INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE job ADD COLUMN resize_requested INTEGER NOT NULL DEFAULT 0;"
    "UPDATE job SET attempt_ranks=ranks",
    "ALTER TABLE attempt ADD COLUMN placement TEXT NOT NULL DEFAULT '';"
    "UPDATE attempt SET placement = '" HOST_ALONE ":' || (SELECT ranks FROM job WHERE id = job)",
    "ALTER TABLE job ADD COLUMN lost_hosts INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE upload("
    "  id TEXT PRIMARY KEY, size INTEGER NOT NULL, sha256 TEXT NOT NULL,"
    "  complete INTEGER NOT NULL, created_ms INTEGER NOT NULL, touched_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE model("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  name TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL, sha256 TEXT NOT NULL,"
    "  tensors_sha256 TEXT NOT NULL, size INTEGER NOT NULL, created_ms INTEGER NOT NULL,"
    "  job TEXT REFERENCES job(id), about TEXT NOT NULL, UNIQUE(name, version)) STRICT;"
    "CREATE INDEX model_sha256 ON model(sha256);"
    "CREATE INDEX model_tensors ON model(tensors_sha256);"
    "CREATE TABLE model_name(name TEXT PRIMARY KEY, versions INTEGER NOT NULL) STRICT;"
    "CREATE TABLE model_parent("
    "  child INTEGER NOT NULL REFERENCES model(seq) ON DELETE CASCADE, role TEXT NOT NULL,"
    "  parent INTEGER NOT NULL REFERENCES model(seq),"
    "  PRIMARY KEY(child, role)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX model_child ON model_parent(parent);"
    "CREATE TABLE dataset("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, source TEXT NOT NULL,"
    "  sha256 TEXT NOT NULL, created_ms INTEGER NOT NULL, labels TEXT NOT NULL,"
    "  manifest TEXT NOT NULL) STRICT;"
    "CREATE TABLE job_use("
    "  job TEXT NOT NULL REFERENCES job(id), field TEXT NOT NULL, name TEXT NOT NULL,"
    "  version INTEGER NOT NULL, sha256 TEXT NOT NULL,"
    "  PRIMARY KEY(job, field)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX job_use_name ON job_use(name)",
    "ALTER TABLE job ADD COLUMN sweep_total INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN sweep_parallel INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN sweep TEXT REFERENCES job(id);"
    "ALTER TABLE job ADD COLUMN sweep_index INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN sweep_round INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN sweep_place TEXT;"
    "CREATE UNIQUE INDEX job_of_sweep ON job(sweep, sweep_index) WHERE sweep IS NOT NULL;"
    "CREATE INDEX job_sweep ON job(sweep);"
    "CREATE INDEX job_sweep_state ON job(sweep, state)",
    "ALTER TABLE job DROP COLUMN max_attempts;"
    "ALTER TABLE job DROP COLUMN attempt_base;"
    "ALTER TABLE job DROP COLUMN lost_hosts;"
    "ALTER TABLE job ADD COLUMN failures TEXT NOT NULL DEFAULT '{}';"
    "ALTER TABLE job ADD COLUMN not_before_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN limit_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN ran_ms INTEGER NOT NULL DEFAULT 0",
};

static const char *const metrics_schema[] = {
    "CREATE TABLE series("
    "  id INTEGER PRIMARY KEY, job TEXT NOT NULL, name TEXT NOT NULL, split TEXT NOT NULL,"
    "  UNIQUE(job, name, split)) STRICT;"
    "CREATE TABLE point("
    "  series INTEGER NOT NULL, step INTEGER NOT NULL, value REAL,"
    "  PRIMARY KEY(series, step)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE spool(job TEXT PRIMARY KEY, offset INTEGER NOT NULL) STRICT, WITHOUT ROWID",
};

struct store {
    struct db *state, *metrics;
};

static struct db *open_file(const char *dir, const char *name, enum db_sync sync,
                            const char *const *schema, size_t version, struct error *err)
{
    char *path = str_path(dir, name);
    struct db *db = db_open(path, sync, schema, (int)version, err);

    free(path);
    return db;
}

struct store *store_open(const char *dir, struct error *err)
{
    struct store *s = NEW(struct store);

    s->state = open_file(dir, "state.db", DB_SYNC_FULL, state_schema, ARRAY_LEN(state_schema), err);
    s->metrics = s->state ? open_file(dir, "metrics.db", DB_SYNC_NORMAL, metrics_schema,
                                      ARRAY_LEN(metrics_schema), err)
                          : NULL;
    if (s->metrics)
        return s;
    store_close(s);
    return NULL;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    db_close(s->state);
    db_close(s->metrics);
    free(s);
}

bool store_begin(struct store *s, struct error *err)
{
    return db_begin(s->state, err);
}

bool store_commit(struct store *s, struct error *err)
{
    return db_commit(s->state, err);
}

void store_rollback(struct store *s)
{
    db_rollback(s->state);
}

struct db *store_state(struct store *s)
{
    return s->state;
}

const struct histogram *store_commit_seconds(const struct store *s)
{
    return db_commit_seconds(s->state);
}

/* -- Jobs -------------------------------------------------------------------------------------- */

bool store_job_add(struct store *s, struct job *j, struct error *err)
{
    static const char sql[] =
        "INSERT INTO job(id, name, kind, spec, ranks, threads, created_ms, state,"
        " priority, reason_code, reason_message, finished_ms, sweep_total, sweep_parallel, sweep,"
        " sweep_index, sweep_round, sweep_place, limit_ms) "
        "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
    struct db_stmt *q = db_prepare(s->state, sql, err);

    if (!q)
        return false;
    db_bind_text(q, 1, j->id);
    db_bind_text(q, 2, j->name);
    db_bind_text(q, 3, j->kind);
    db_bind_text(q, 4, j->spec);
    db_bind_int(q, 5, j->ranks);
    db_bind_int(q, 6, j->threads);
    db_bind_int(q, 7, j->created_ms);
    db_bind_text(q, 8, job_state_name(j->state));
    db_bind_int(q, 9, j->priority);
    db_bind_text(q, 10, j->reason.code);
    db_bind_text(q, 11, j->reason.message);
    db_bind_int(q, 12, j->finished_ms);
    db_bind_int(q, 13, j->sweep.total);
    db_bind_int(q, 14, j->sweep.parallel);
    db_bind_text(q, 15, j->origin.sweep[0] ? j->origin.sweep : NULL);
    db_bind_int(q, 16, j->origin.index);
    db_bind_int(q, 17, j->origin.round);
    db_bind_text(q, 18, j->origin.place);
    db_bind_int(q, 19, j->limit_ms);
    if (!db_run(q, err))
        return false;
    j->seq = db_last_rowid(s->state);
    return true;
}

static char *failures_text(const struct job *j)
{
    struct json *o = job_failures_json(j);
    char *text = js_text(o, JS_COMPACT);

    js_free(o);
    return text;
}

static void read_failures(const char *text, struct job *j)
{
    struct json *o = js_parse(text, strlen(text), NULL);

    for (enum failure f = FAILURE_NONE + 1; f < FAILURE_COUNT; f++)
        j->failures[f] = js_int(js_get(o, failure_name(f)), 0);
    js_free(o);
}

bool store_job_update(struct store *s, const struct job *j, struct error *err)
{
    static const char sql[] =
        "UPDATE job SET state=?2, reason_code=?3, reason_message=?4, cancel_requested=?5,"
        " attempt=?6, not_before_ms=?7, started_ms=?8, finished_ms=?9, step=?10, total_steps=?11,"
        " epoch=?12, result=?13, ranks=?14, attempt_ranks=?15, resize_requested=?16,"
        " failures=?17, sweep_round=?18, ran_ms=?19"
        " WHERE id=?1 AND"
        " (state NOT IN ('succeeded','failed','cancelled') OR state=?2 OR ?2='queued')";
    struct db_stmt *q = db_prepare(s->state, sql, err);
    char *failures;
    bool ok;

    if (!q)
        return false;
    db_bind_text(q, 1, j->id);
    db_bind_text(q, 2, job_state_name(j->state));
    db_bind_text(q, 3, j->reason.code);
    db_bind_text(q, 4, j->reason.message);
    db_bind_int(q, 5, j->cancel_requested);
    db_bind_int(q, 6, j->attempt);
    db_bind_int(q, 7, j->not_before_ms);
    db_bind_int(q, 8, j->started_ms);
    db_bind_int(q, 9, j->finished_ms);
    db_bind_int(q, 10, j->progress.step);
    db_bind_int(q, 11, j->progress.total_steps);
    db_bind_int(q, 12, j->progress.epoch);
    db_bind_text(q, 13, j->result);
    db_bind_int(q, 14, j->ranks);
    db_bind_int(q, 15, j->attempt_ranks);
    db_bind_int(q, 16, j->resize_requested);
    failures = failures_text(j);
    db_bind_text(q, 17, failures);
    db_bind_int(q, 18, j->origin.round);
    db_bind_int(q, 19, j->ran_ms);
    ok = db_run(q, err);
    free(failures);
    if (!ok)
        return false;
    return db_changes(s->state) == 1 ||
           err_set(err, ERR_CONFLICT, "job %s is over and cannot become %s", j->id,
                   job_state_name(j->state));
}

#define JOB_COLUMNS                                                                      \
    "id, seq, name, kind, spec, not_before_ms, ranks, threads, created_ms, state,"       \
    " reason_code, reason_message, cancel_requested, attempt,"                           \
    " limit_ms, started_ms,"                                                             \
    " finished_ms, step, total_steps, epoch, result, priority, attempt_ranks,"           \
    " resize_requested, failures,"                                                       \
    " (SELECT placement FROM attempt WHERE job=job.id AND number=attempt), sweep_total," \
    " sweep_parallel, sweep, sweep_index, sweep_round, sweep_place, ran_ms"

static void read_origin(struct db_stmt *q, struct job_origin *o)
{
    snprintf(o->sweep, sizeof(o->sweep), "%s", db_text(q, 28));
    o->index = db_int(q, 29);
    o->round = db_int(q, 30);
    o->place = db_is_null(q, 31) ? NULL : str_dup(db_text(q, 31));
}

/* The index of sweeps and states counts them. */
static void count_made(struct store *s, struct job *j)
{
    struct db_stmt *q =
        db_prepare(s->state, "SELECT state, count(*) FROM job WHERE sweep=? GROUP BY state", NULL);
    enum job_state state;

    if (!q)
        return;
    db_bind_text(q, 1, j->id);
    while (db_step(q, NULL) == DB_ROW)
        if (job_state_parse(db_text(q, 0), &state))
            j->sweep.made[state] = db_int(q, 1);
    db_reset(q);
    job_sweep_count(j);
}

static struct job *read_job(struct store *s, struct db_stmt *q)
{
    struct job *j = NEW(struct job);

    snprintf(j->id, sizeof(j->id), "%s", db_text(q, 0));
    j->seq = db_int(q, 1);
    snprintf(j->name, sizeof(j->name), "%s", db_text(q, 2));
    snprintf(j->kind, sizeof(j->kind), "%s", db_text(q, 3));
    j->spec = str_dup(db_text(q, 4));
    j->not_before_ms = db_int(q, 5);
    j->ranks = db_int(q, 6);
    j->threads = db_int(q, 7);
    j->created_ms = db_int(q, 8);
    ASSERT(job_state_parse(db_text(q, 9), &j->state));
    reason_set(&j->reason, db_text(q, 10), "%s", db_text(q, 11));
    j->cancel_requested = db_int(q, 12);
    j->attempt = db_int(q, 13);
    j->limit_ms = db_int(q, 14);
    j->started_ms = db_int(q, 15);
    j->finished_ms = db_int(q, 16);
    j->progress = (struct job_progress){.step = db_int(q, 17),
                                        .total_steps = db_int(q, 18),
                                        .epoch = db_int(q, 19),
                                        .eta_s = -1,
                                        .images_per_s = -1};
    j->result = db_is_null(q, 20) ? NULL : str_dup(db_text(q, 20));
    j->priority = db_int(q, 21);
    j->attempt_ranks = db_int(q, 22);
    j->resize_requested = db_int(q, 23);
    read_failures(db_text(q, 24), j);
    j->placement = db_is_null(q, 25) ? NULL : str_dup(db_text(q, 25));
    j->sweep = (struct job_sweep){.total = db_int(q, 26), .parallel = db_int(q, 27)};
    read_origin(q, &j->origin);
    j->ran_ms = db_int(q, 32);
    if (job_is_sweep(j))
        count_made(s, j);
    return j;
}

struct job *store_job_get(struct store *s, const char *id, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "SELECT " JOB_COLUMNS " FROM job WHERE id=?", err);
    struct job *j = NULL;
    enum db_result got;

    if (!q)
        return NULL;
    db_bind_text(q, 1, id);
    got = db_step(q, err);
    if (got == DB_ROW)
        j = read_job(s, q);
    else if (got == DB_DONE)
        err_set(err, ERR_NOT_FOUND, "there is no job %s", id);
    db_reset(q);
    return j;
}

bool store_last_job_id(struct store *s, char out[JOB_ID_SIZE], struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "SELECT id FROM job ORDER BY seq DESC LIMIT 1", err);
    enum db_result got = q ? db_step(q, err) : DB_FAILED;

    snprintf(out, JOB_ID_SIZE, "%s", got == DB_ROW ? db_text(q, 0) : "");
    if (q)
        db_reset(q);
    return got != DB_FAILED;
}

static bool each_job(struct store *s, struct db_stmt *q, store_job_fn fn, void *arg,
                     struct error *err)
{
    enum db_result got;

    while ((got = db_step(q, err)) == DB_ROW)
        fn(read_job(s, q), arg);
    db_reset(q);
    return got == DB_DONE;
}

bool store_jobs_active(struct store *s, store_job_fn fn, void *arg, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state,
                                   "SELECT " JOB_COLUMNS " FROM job WHERE state IN"
                                   " ('queued','starting','running') ORDER BY seq",
                                   err);

    return q && each_job(s, q, fn, arg, err);
}

/* Two texts, because the index of states serves only a plain comparison. */
#define PAGE_SQL(and_state)                                                         \
    "SELECT " JOB_COLUMNS " FROM job WHERE seq < ?1 AND sweep IS ?8 AND " and_state \
    " (?3 IS NULL OR kind=?3) AND (?4 IS NULL OR name=?4) AND (?5 IS NULL OR"       \
    " EXISTS(SELECT 1 FROM json_each(spec, '$.labels') WHERE key=?5 AND value=?6))" \
    " ORDER BY seq DESC LIMIT ?2"

bool store_jobs_page(struct store *s, int64_t before, int64_t limit, const struct job_filter *f,
                     store_job_fn fn, void *arg, struct error *err)
{
    bool any = f->state == JOB_STATE_COUNT;
    struct db_stmt *q = any ? db_prepare(s->state, PAGE_SQL(""), err)
                            : db_prepare(s->state, PAGE_SQL("state=?7 AND"), err);

    if (!q)
        return false;
    db_bind_int(q, 1, before ? before : INT64_MAX);
    db_bind_int(q, 2, limit);
    db_bind_text(q, 3, f->kind);
    db_bind_text(q, 4, f->name);
    db_bind_text(q, 5, f->label);
    db_bind_text(q, 6, f->label_value);
    if (!any)
        db_bind_text(q, 7, job_state_name(f->state));
    db_bind_text(q, 8, f->sweep);
    return each_job(s, q, fn, arg, err);
}

bool store_job_counts(struct store *s, int64_t counts[JOB_STATE_COUNT], struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "SELECT state, count(*) FROM job GROUP BY state", err);
    enum job_state state;
    enum db_result got = DB_FAILED;

    memset(counts, 0, JOB_STATE_COUNT * sizeof(*counts));
    while (q && (got = db_step(q, err)) == DB_ROW)
        if (job_state_parse(db_text(q, 0), &state))
            counts[state] = db_int(q, 1);
    if (q)
        db_reset(q);
    return got == DB_DONE;
}

/* -- Sweeps ------------------------------------------------------------------------------------- */

bool store_sweep_redo(struct store *s, const struct job *sweep, char out[JOB_ID_SIZE],
                      struct error *err)
{
    struct db_stmt *q = db_prepare(s->state,
                                   "SELECT id FROM job WHERE sweep=? AND state IN"
                                   " ('failed','cancelled') AND sweep_round < ? LIMIT 1",
                                   err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, sweep->id);
    db_bind_int(q, 2, sweep->attempt);
    got = db_step(q, err);
    snprintf(out, JOB_ID_SIZE, "%s", got == DB_ROW ? db_text(q, 0) : "");
    db_reset(q);
    return got != DB_FAILED;
}

bool store_sweep_spec(struct store *s, const char *id, const char *spec, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "UPDATE job SET spec=? WHERE id=?", err);

    if (!q)
        return false;
    db_bind_text(q, 1, spec);
    db_bind_text(q, 2, id);
    return db_run(q, err);
}

bool store_sweep_skip(struct store *s, const char *id, int64_t round, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "UPDATE job SET sweep_round=? WHERE id=?", err);

    if (!q)
        return false;
    db_bind_int(q, 1, round);
    db_bind_text(q, 2, id);
    return db_run(q, err);
}

bool store_sweep_jobs(struct store *s, const char *sweep, int64_t first, int64_t end,
                      void (*fn)(const struct sweep_row *row, void *arg), void *arg,
                      struct error *err)
{
    struct db_stmt *q = db_prepare(s->state,
                                   "SELECT sweep_index, id, state, result FROM job WHERE sweep=?"
                                   " AND sweep_index >= ? AND sweep_index < ? ORDER BY sweep_index",
                                   err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, sweep);
    db_bind_int(q, 2, first);
    db_bind_int(q, 3, end);
    while ((got = db_step(q, err)) == DB_ROW) {
        const struct sweep_row row = {db_int(q, 0), db_text(q, 1), db_text(q, 2), db_text(q, 3)};

        fn(&row, arg);
    }
    db_reset(q);
    return got == DB_DONE;
}

/* -- Answers to requests, and the switch of the queue ------------------------------------------- */

bool store_reply_find(struct store *s, const char *key, struct stored_reply *out, struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->state, "SELECT body_sha256, job, status, text FROM reply WHERE key=?", err);
    enum db_result got;

    *out = (struct stored_reply){.text = NULL};
    if (!q)
        return false;
    db_bind_text(q, 1, key);
    got = db_step(q, err);
    if (got == DB_ROW) {
        snprintf(out->body_sha256, sizeof(out->body_sha256), "%s", db_text(q, 0));
        snprintf(out->job, sizeof(out->job), "%s", db_text(q, 1));
        out->status = (int)db_int(q, 2);
        out->text = str_dup(db_text(q, 3));
    }
    db_reset(q);
    return got != DB_FAILED;
}

bool store_reply_add(struct store *s, const char *key, const struct stored_reply *reply,
                     int64_t now_ms, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "INSERT INTO reply VALUES(?,?,?,?,?,?)", err);

    if (!q)
        return false;
    db_bind_text(q, 1, key);
    db_bind_text(q, 2, reply->body_sha256);
    db_bind_text(q, 3, reply->job);
    db_bind_int(q, 4, reply->status);
    db_bind_text(q, 5, reply->text);
    db_bind_int(q, 6, now_ms);
    return db_run(q, err);
}

bool store_replies_forget(struct store *s, int64_t before_ms, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "DELETE FROM reply WHERE created_ms < ?", err);

    if (!q)
        return false;
    db_bind_int(q, 1, before_ms);
    return db_run(q, err);
}

bool store_paused(struct store *s, bool *out, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "SELECT value FROM setting WHERE name='paused'", err);
    enum db_result got = q ? db_step(q, err) : DB_FAILED;

    *out = got == DB_ROW && db_int(q, 0);
    if (q)
        db_reset(q);
    return got != DB_FAILED;
}

bool store_set_paused(struct store *s, bool paused, struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->state, "INSERT OR REPLACE INTO setting VALUES('paused', ?)", err);

    if (!q)
        return false;
    db_bind_int(q, 1, paused);
    return db_run(q, err);
}

/* -- Attempts ---------------------------------------------------------------------------------- */

bool store_attempt_add(struct store *s, const char *job, int64_t number, int64_t started_ms,
                       const char *token_sha256, const char *placement, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state,
                                   "INSERT INTO attempt(job, number, started_ms, token_sha256,"
                                   " placement) VALUES(?,?,?,?,?)",
                                   err);

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    db_bind_int(q, 2, number);
    db_bind_int(q, 3, started_ms);
    db_bind_text(q, 4, token_sha256);
    db_bind_text(q, 5, placement);
    return db_run(q, err);
}

int64_t store_attempt_started_ms(struct store *s, const char *job, int64_t number)
{
    struct db_stmt *q =
        db_prepare(s->state, "SELECT started_ms FROM attempt WHERE job=? AND number=?", NULL);
    int64_t ms = 0;

    if (!q)
        return 0;
    db_bind_text(q, 1, job);
    db_bind_int(q, 2, number);
    if (db_step(q, NULL) == DB_ROW)
        ms = db_int(q, 0);
    db_reset(q);
    return ms;
}

bool store_attempt_end(struct store *s, const char *job, int64_t number, int64_t ended_ms,
                       const struct attempt_exit *end, struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->state,
                   "UPDATE attempt SET ended_ms=?3, status=?4, signal=?5,"
                   " stopped=?6, lost=?7, message=?8, class=?9 WHERE job=?1 AND number=?2",
                   err);

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    db_bind_int(q, 2, number);
    db_bind_int(q, 3, ended_ms);
    db_bind_int(q, 4, end->status);
    db_bind_int(q, 5, end->signal);
    db_bind_int(q, 6, end->stopped);
    db_bind_int(q, 7, end->lost);
    db_bind_text(q, 8, end->message);
    db_bind_text(q, 9, failure_name(end->class));
    return db_run(q, err);
}

bool store_attempt_token(struct store *s, const char *job, int64_t number, char hex[SHA256_HEX],
                         struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->state, "SELECT token_sha256 FROM attempt WHERE job=? AND number=?", err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    db_bind_int(q, 2, number);
    got = db_step(q, err);
    snprintf(hex, SHA256_HEX, "%s", got == DB_ROW ? db_text(q, 0) : "");
    db_reset(q);
    if (got == DB_DONE)
        return err_set(err, ERR_NOT_FOUND, "job %s has no attempt %lld", job, (long long)number);
    return got == DB_ROW;
}

bool store_attempts(struct store *s, const char *job,
                    void (*fn)(const struct attempt_row *row, void *arg), void *arg,
                    struct error *err)
{
    struct db_stmt *q = db_prepare(s->state,
                                   "SELECT number, started_ms, ended_ms, status, signal, stopped,"
                                   " lost, message, class, placement FROM attempt WHERE job=?"
                                   " ORDER BY number",
                                   err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    while ((got = db_step(q, err)) == DB_ROW) {
        struct attempt_row row = {.number = db_int(q, 0),
                                  .started_ms = db_int(q, 1),
                                  .ended_ms = db_int(q, 2),
                                  .placement = db_text(q, 9),
                                  .end = {.status = (int)db_int(q, 3),
                                          .signal = (int)db_int(q, 4),
                                          .stopped = db_int(q, 5),
                                          .lost = db_int(q, 6),
                                          .class = failure_parse(db_text(q, 8))}};

        snprintf(row.end.message, sizeof(row.end.message), "%s", db_text(q, 7));
        fn(&row, arg);
    }
    db_reset(q);
    return got == DB_DONE;
}

/* -- History and sessions ---------------------------------------------------------------------- */

bool store_event_add(struct store *s, uint64_t id, int64_t at_ms, const struct job *j,
                     struct error *err)
{
    struct db_stmt *q = db_prepare(
        s->state, "INSERT INTO event(id, at_ms, job, state, code, message) VALUES(?,?,?,?,?,?)",
        err);

    if (!q)
        return false;
    db_bind_int(q, 1, (int64_t)id);
    db_bind_int(q, 2, at_ms);
    db_bind_text(q, 3, j->id);
    db_bind_text(q, 4, job_state_name(j->state));
    db_bind_text(q, 5, j->reason.code);
    db_bind_text(q, 6, j->reason.message);
    return db_run(q, err);
}

bool store_events(struct store *s, const char *job,
                  void (*fn)(const struct event_row *row, void *arg), void *arg, struct error *err)
{
    struct db_stmt *q = db_prepare(
        s->state, "SELECT id, at_ms, state, code, message FROM event WHERE job=? ORDER BY id", err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    while ((got = db_step(q, err)) == DB_ROW) {
        const struct event_row row = {db_int(q, 0), db_int(q, 1), db_text(q, 2), db_text(q, 3),
                                      db_text(q, 4)};

        fn(&row, arg);
    }
    db_reset(q);
    return got == DB_DONE;
}

bool store_first_event_id(struct store *s, uint64_t *out, struct error *err)
{
    /* Rows count too: when the reservation could not be stored, history may be ahead of it. */
    struct db_stmt *q = db_prepare(s->state,
                                   "SELECT max(value, (SELECT coalesce(max(id), 0) + 1 FROM event))"
                                   " FROM counter WHERE name='event'",
                                   err);
    enum db_result got = q ? db_step(q, err) : DB_FAILED;

    *out = got == DB_ROW ? (uint64_t)db_int(q, 0) : 1;
    if (q)
        db_reset(q);
    return got != DB_FAILED;
}

bool store_reserve_events(struct store *s, uint64_t below, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "UPDATE counter SET value=? WHERE name='event'", err);

    if (!q)
        return false;
    db_bind_int(q, 1, (int64_t)below);
    return db_run(q, err);
}

static bool forget_sessions(struct store *s, int64_t now_ms, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "DELETE FROM session WHERE expires_ms <= ?", err);

    if (!q)
        return false;
    db_bind_int(q, 1, now_ms);
    return db_run(q, err);
}

bool store_session_add(struct store *s, const char *sha256, int64_t now_ms, int64_t expires_ms,
                       struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->state, "INSERT INTO session(sha256, expires_ms) VALUES(?,?)", err);

    if (!q || !forget_sessions(s, now_ms, err))
        return false;
    db_bind_text(q, 1, sha256);
    db_bind_int(q, 2, expires_ms);
    return db_run(q, err);
}

bool store_session_valid(struct store *s, const char *sha256, int64_t now_ms)
{
    struct db_stmt *q =
        db_prepare(s->state, "SELECT 1 FROM session WHERE sha256=? AND expires_ms > ?", NULL);
    bool valid;

    if (!q)
        return false;
    db_bind_text(q, 1, sha256);
    db_bind_int(q, 2, now_ms);
    valid = db_step(q, NULL) == DB_ROW;
    db_reset(q);
    return valid;
}

/* -- Metrics ----------------------------------------------------------------------------------- */

int64_t store_metrics_offset(struct store *s, const char *job)
{
    struct db_stmt *q = db_prepare(s->metrics, "SELECT offset FROM spool WHERE job=?", NULL);
    int64_t offset = 0;

    if (!q)
        return 0;
    db_bind_text(q, 1, job);
    if (db_step(q, NULL) == DB_ROW)
        offset = db_int(q, 0);
    db_reset(q);
    return offset;
}

static void bind_series(struct db_stmt *q, const char *job, const struct metric_point *p)
{
    db_bind_text(q, 1, job);
    db_bind_text(q, 2, p->name);
    db_bind_text(q, 3, p->split);
}

static bool make_series(struct store *s, const char *job, const struct metric_point *p, int64_t *id,
                        struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->metrics, "INSERT INTO series(job, name, split) VALUES(?,?,?)", err);

    if (!q)
        return false;
    bind_series(q, job, p);
    if (!db_run(q, err))
        return false;
    *id = db_last_rowid(s->metrics);
    return true;
}

/* The number of a series, made if it is new. */
static bool find_series(struct store *s, const char *job, const struct metric_point *p, int64_t *id,
                        struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->metrics, "SELECT id FROM series WHERE job=? AND name=? AND split=?", err);
    enum db_result got;

    if (!q)
        return false;
    bind_series(q, job, p);
    got = db_step(q, err);
    *id = got == DB_ROW ? db_int(q, 0) : 0;
    db_reset(q);
    return got == DB_ROW || (got == DB_DONE && make_series(s, job, p, id, err));
}

static bool add_point(struct store *s, const char *job, const struct metric_point *p,
                      struct error *err)
{
    struct db_stmt *q = db_prepare(s->metrics, "INSERT OR REPLACE INTO point VALUES(?,?,?)", err);
    int64_t series;

    if (!q || !find_series(s, job, p, &series, err))
        return false;
    db_bind_int(q, 1, series);
    db_bind_int(q, 2, p->step);
    db_bind_real(q, 3, p->value);
    return db_run(q, err);
}

static bool set_offset(struct store *s, const char *job, int64_t offset, struct error *err)
{
    struct db_stmt *q = db_prepare(s->metrics, "INSERT OR REPLACE INTO spool VALUES(?,?)", err);

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    db_bind_int(q, 2, offset);
    return db_run(q, err);
}

bool store_metrics_add(struct store *s, const char *job, const struct metric_point *points,
                       size_t n, int64_t offset, struct error *err)
{
    bool ok = db_begin(s->metrics, err);

    for (size_t i = 0; ok && i < n; i++)
        ok = add_point(s, job, &points[i], err);
    ok = ok && set_offset(s, job, offset, err) && db_commit(s->metrics, err);
    if (!ok)
        db_rollback(s->metrics);
    return ok;
}

bool store_metrics_reset(struct store *s, const char *job, struct error *err)
{
    static const char *const sqls[] = {
        "DELETE FROM point WHERE series IN (SELECT id FROM series WHERE job=?)",
        "DELETE FROM series WHERE job=?",
        "DELETE FROM spool WHERE job=?",
    };
    bool ok = db_begin(s->metrics, err);

    for (size_t i = 0; ok && i < ARRAY_LEN(sqls); i++) {
        struct db_stmt *q = db_prepare(s->metrics, sqls[i], err);

        if (q)
            db_bind_text(q, 1, job);
        ok = q && db_run(q, err);
    }
    ok = ok && db_commit(s->metrics, err);
    if (!ok)
        db_rollback(s->metrics);
    return ok;
}

bool store_metrics_read(struct store *s, const char *job, const char *name,
                        void (*fn)(const struct metric_point *p, void *arg), void *arg,
                        struct error *err)
{
    struct db_stmt *q = db_prepare(s->metrics,
                                   "SELECT name, split, step, value FROM series JOIN point"
                                   " ON point.series = series.id"
                                   " WHERE job=?1 AND (?2 IS NULL OR name=?2)"
                                   " ORDER BY name, split, step",
                                   err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    db_bind_text(q, 2, name);
    while ((got = db_step(q, err)) == DB_ROW) {
        const struct metric_point p = {db_text(q, 0), db_text(q, 1), db_int(q, 2), db_real(q, 3)};

        fn(&p, arg);
    }
    db_reset(q);
    return got == DB_DONE;
}
