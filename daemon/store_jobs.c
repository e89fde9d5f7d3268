/* The table of jobs. */
#include "daemon/store_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ids.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    /* cancel_requested: 0, or this plus the grace in seconds, so that 1, as it always stood there, is the usual one. */
    CANCEL_GRACE = 2
};

struct news {
    struct job *const *jobs;
};

static void bind_new(struct db_stmt *q, int at, size_t i, void *arg)
{
    const struct news *news = arg;
    const struct job *j = news->jobs[i];

    db_bind_text(q, at++, j->id);
    db_bind_text(q, at++, j->name);
    db_bind_text(q, at++, j->kind);
    db_bind_text(q, at++, j->spec);
    db_bind_int(q, at++, j->ranks);
    db_bind_int(q, at++, j->threads);
    db_bind_int(q, at++, j->created_ms);
    db_bind_text(q, at++, job_state_name(j->state));
    db_bind_int(q, at++, j->priority);
    db_bind_text(q, at++, j->reason.code);
    db_bind_text(q, at++, job_why(j));
    db_bind_int(q, at++, j->finished_ms);
    db_bind_int(q, at++, j->sweep.total);
    db_bind_int(q, at++, j->sweep.parallel);
    db_bind_text(q, at++, j->origin.sweep[0] ? j->origin.sweep : NULL);
    db_bind_int(q, at++, j->origin.index);
    db_bind_int(q, at++, j->origin.round);
    db_bind_text(q, at++, j->origin.place);
    db_bind_int(q, at++, j->limit_ms);
    db_bind_int(q, at++, j->hold_requested);
    db_bind_int(q, at++, (int64_t)j->n_needs);
    db_bind_text(q, at++, j->project);
    db_bind_int(q, at++, j->preempt);
    db_bind_int(q, at++, j->preemptible);
    db_bind_int(q, at++, j->min_runtime_ms);
    db_bind_int(q, at++, j->ranks_min);
    db_bind_int(q, at++, j->ranks_max);
    db_bind_text(q, at++, j->trace);
    db_bind_text(q, at++, j->cloned_from);
    db_bind_text(q, at++, j->written);
    db_bind_text(q, at++, j->owner);
}

bool store_jobs_add(struct store *s, struct job *const *jobs, size_t n, struct error *err)
{
    static const char sql[] =
        "INSERT INTO job(id, name, kind, spec, ranks, threads, created_ms, state,"
        " priority, reason_code, reason_message, finished_ms, sweep_total, sweep_parallel, sweep,"
        " sweep_index, sweep_round, sweep_place, limit_ms, hold_requested, needs, project, preempt,"
        " preemptible, min_runtime_ms, ranks_min, ranks_max, trace, cloned_from, written, owner)";
    enum {
        COLUMNS = 31
    };
    struct news news = {jobs};
    int64_t last;

    if (!db_insert(s->state, sql, COLUMNS, n, bind_new, &news, err))
        return false;
    last = db_last_rowid(s->state);
    for (size_t i = 0; i < n; i++)
        jobs[i]->seq = last - (int64_t)(n - 1 - i);
    return true;
}

static char *failures_text(const struct job *j)
{
    struct buf b = buf_new(0);
    struct jw w = jw_new(&b);

    job_write_failures(&w, NULL, j);
    return buf_take(&b);
}

static void read_failures(const char *text, struct job *j)
{
    struct json *o;

    if (strcmp(text, "{}") == 0)
        return;
    o = js_parse(text, strlen(text), NULL);
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
        " failures=?17, sweep_round=?18, ran_ms=?19,"
        " hold_requested=?20, yield_requested=?21, yield_for=?22, behind=?23, turn=?24"
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
    db_bind_text(q, 4, job_why(j));
    db_bind_int(q, 5, j->cancel_requested ? CANCEL_GRACE + j->cancel_grace_s : 0);
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
    db_bind_int(q, 20, j->hold_requested);
    db_bind_int(q, 21, j->yield_requested);
    db_bind_text(q, 22, j->yield_for);
    db_bind_int(q, 23, j->behind);
    db_bind_int(q, 24, j->turn);
    ok = db_run(q, err);
    free(failures);
    if (!ok)
        return false;
    return db_changes(s->state) == 1 ||
           err_set(err, ERR_CONFLICT, "job %s is over and cannot become %s", j->id,
                   job_state_name(j->state));
}

bool store_job_edit(struct store *s, const struct job *j, struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->state, "UPDATE job SET name=?2, priority=?3, spec=?4 WHERE id=?1", err);

    if (!q)
        return false;
    db_bind_text(q, 1, j->id);
    db_bind_text(q, 2, j->name);
    db_bind_int(q, 3, j->priority);
    db_bind_text(q, 4, j->spec);
    return db_run(q, err);
}

#define JOB_COLUMNS                                                                      \
    "id, seq, name, kind, spec, not_before_ms, ranks, threads, created_ms, state,"       \
    " reason_code, reason_message, cancel_requested, attempt,"                           \
    " limit_ms, started_ms,"                                                             \
    " finished_ms, step, total_steps, epoch, result, priority, attempt_ranks,"           \
    " resize_requested, failures,"                                                       \
    " (SELECT placement FROM attempt WHERE job=job.id AND number=attempt), sweep_total," \
    " sweep_parallel, sweep, sweep_index, sweep_round, sweep_place, ran_ms,"             \
    " json_valid(spec), hold_requested, yield_requested, needs, project,"                \
    " preempt, preemptible, min_runtime_ms, yield_for, ranks_min, ranks_max, trace,"     \
    " behind, cloned_from, turn, result IS NULL OR json_valid(result), owner"

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

/* What is computed with must not overflow. */
static bool is_within(int64_t value, int64_t least)
{
    return value >= least && value <= INT32_MAX;
}

/* What no daemon has written; NULL when all is well. Sets the state. */
static const char *what_is_wrong(struct db_stmt *q, struct job *j)
{
    if (!job_state_parse(db_text(q, 9), &j->state))
        return "its state is none";
    if (!job_kind_known(j->kind))
        return "its kind is none";
    if (!id_valid(j->id))
        return "its id is none";
    if (!is_within(j->ranks, 1) || !is_within(j->threads, 1) || !is_within(j->attempt, 0) ||
        !is_within(j->attempt_ranks, 0) || !is_within(j->priority, INT32_MIN))
        return "its ranks, threads, attempts or priority are out of range";
    return db_int(q, 33) ? NULL : "its spec is no JSON";
}

/* One damaged row must not keep the daemon from the others. It is shown, and nothing is done with it. A final state that
 * can be read stays what it is. */
static void quarantine(struct db_stmt *q, struct job *j, const char *why)
{
    struct reason damaged;

    log_error("a damaged row is set aside job=%s error=\"%s\"", j->id, why);
    if (!job_state_parse(db_text(q, 9), &j->state) || !job_is_final(j->state))
        j->state = JOB_FAILED;
    reason_set(&damaged, REASON_DAMAGED, "the row of this job in state.db is damaged: %s", why);
    job_explain(j, &damaged);
    free(j->spec);
    j->spec = str_dup("{}");
}

/* What became of the job is known without it. */
static void drop_result(struct job *j)
{
    log_error("a damaged result is set aside job=%s error=\"it is no JSON\"", j->id);
    free(j->result);
    j->result = NULL;
}

/* What no daemon has written, and what stands there without a cancel, is the usual one. */
static int64_t read_grace(int64_t column)
{
    return column >= CANCEL_GRACE && column <= INT32_MAX ? column - CANCEL_GRACE : -1;
}

static struct job *read_job(struct store *s, struct db_stmt *q)
{
    struct job *j = NEW(struct job);
    struct reason why;
    const char *damage;

    snprintf(j->id, sizeof(j->id), "%s", db_text(q, 0));
    j->seq = db_int(q, 1);
    snprintf(j->name, sizeof(j->name), "%s", db_text(q, 2));
    snprintf(j->kind, sizeof(j->kind), "%s", db_text(q, 3));
    j->spec = str_dup(db_text(q, 4));
    j->not_before_ms = db_int(q, 5);
    j->ranks = db_int(q, 6);
    j->threads = db_int(q, 7);
    j->created_ms = db_int(q, 8);
    reason_set(&why, db_text(q, 10), "%s", db_text(q, 11));
    job_explain(j, &why);
    j->cancel_requested = db_int(q, 12) != 0;
    j->cancel_grace_s = read_grace(db_int(q, 12));
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
    j->hold_requested = db_int(q, 34);
    j->yield_requested = db_int(q, 35);
    snprintf(j->project, sizeof(j->project), "%s", db_text(q, 37));
    j->preempt = db_int(q, 38);
    j->preemptible = db_int(q, 39);
    j->min_runtime_ms = db_int(q, 40);
    snprintf(j->yield_for, sizeof(j->yield_for), "%s", db_text(q, 41));
    j->ranks_min = db_int(q, 42);
    j->ranks_max = db_int(q, 43);
    snprintf(j->trace, sizeof(j->trace), "%s", db_text(q, 44));
    j->behind = db_int(q, 45);
    snprintf(j->cloned_from, sizeof(j->cloned_from), "%s", db_text(q, 46));
    j->turn = db_int(q, 47);
    if (!db_int(q, 48))
        drop_result(j);
    snprintf(j->owner, sizeof(j->owner), "%s", db_text(q, 49));
    if (db_int(q, 36))
        job_read_needs(j);
    if (job_is_sweep(j))
        count_made(s, j);
    damage = what_is_wrong(q, j);
    if (damage)
        quarantine(q, j, damage);
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
    db_reset(q);
    if (got == DB_DONE)
        store_say_missing(s, id, err);
    return j;
}

bool store_job_written(struct store *s, const char *id, char **out, struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->state, "SELECT coalesce(written, spec) FROM job WHERE id=?", err);
    enum db_result got;

    *out = NULL;
    if (!q)
        return false;
    db_bind_text(q, 1, id);
    got = db_step(q, err);
    if (got == DB_ROW)
        *out = str_dup(db_text(q, 0));
    db_reset(q);
    return got == DB_ROW || (got == DB_DONE && store_say_missing(s, id, err));
}

bool store_job_state(struct store *s, const char *id, enum job_state *out, struct error *err)
{
    struct job *j = store_job_get(s, id, err);
    struct purged was;

    if (!j && (err->code != ERR_GONE || !store_purged_find(s, id, &was, err)))
        return false;
    *out = j ? j->state : was.state;
    job_destroy(j);
    return true;
}

bool store_job_project(struct store *s, const char *id, char out[REF_NAME_SIZE], struct error *err)
{
    struct db_stmt *q = db_prepare(
        s->state,
        "SELECT project FROM job WHERE id=?1 UNION ALL SELECT project FROM purged WHERE id=?1",
        err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, id);
    got = db_step(q, err);
    if (got == DB_ROW)
        snprintf(out, REF_NAME_SIZE, "%s", db_text(q, 0));
    else if (got == DB_DONE)
        err_set(err, ERR_NOT_FOUND, "there is no job %s", id);
    db_reset(q);
    return got == DB_ROW;
}

bool store_last_job_id(struct store *s, char out[JOB_ID_SIZE], struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->state,
                   "SELECT max(coalesce((SELECT id FROM job ORDER BY seq DESC LIMIT 1), ''),"
                   " coalesce((SELECT id FROM purged ORDER BY seq DESC LIMIT 1), ''))",
                   err);
    enum db_result got = q ? db_step(q, err) : DB_FAILED;

    snprintf(out, JOB_ID_SIZE, "%s", got == DB_ROW ? db_text(q, 0) : "");
    if (q)
        db_reset(q);
    return got != DB_FAILED;
}

int64_t store_last_job(struct store *s)
{
    struct db_stmt *q = db_prepare(s->state, "SELECT max(seq) FROM job", NULL);
    int64_t seq = q && db_step(q, NULL) == DB_ROW ? db_int(q, 0) : 0;

    if (q)
        db_reset(q);
    return seq;
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
    /* By ranges, as ACTIVE below: also those whose state is none. */
    struct db_stmt *q =
        db_prepare(s->state,
                   "SELECT " JOB_COLUMNS " FROM job WHERE seq IN ("
                   "SELECT seq FROM job WHERE state < 'cancelled' UNION ALL "
                   "SELECT seq FROM job WHERE state > 'cancelled' AND state < 'failed' UNION ALL "
                   "SELECT seq FROM job WHERE state > 'failed' AND state < 'succeeded' UNION ALL "
                   "SELECT seq FROM job WHERE state > 'succeeded') ORDER BY seq",
                   err);

    return q && each_job(s, q, fn, arg, err);
}

/* The one project whose jobs a filter leaves, if it asks for nothing else but a state; NULL: it is not so. */
static const char *of_project(const struct job_filter *f)
{
    if (f->kind || f->name || f->owner || f->label || f->text)
        return NULL;
    if (f->project && f->only && strcmp(f->project, f->only) != 0)
        return NULL;
    return f->project ? f->project : f->only;
}

enum jobs_among store_jobs_among(const struct job_filter *f)
{
    if (of_project(f))
        return f->state != JOB_STATE_COUNT && job_is_final(f->state) ? JOBS_AT_HAND
                                                                     : JOBS_AMONG_ACTIVE;
    return f->kind || f->name || f->owner || f->label || f->project || f->only || f->text
               ? JOBS_AMONG_ALL
               : JOBS_AT_HAND;
}

bool store_job_at(struct store *s, int64_t wall_ms, int64_t *seq, struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->state, "SELECT seq FROM job WHERE id >= ? ORDER BY id LIMIT 1", err);
    char first[JOB_ID_SIZE];
    enum db_result got;

    if (!q)
        return false;
    id_first(wall_ms, first);
    db_bind_text(q, 1, first);
    got = db_step(q, err);
    *seq = got == DB_ROW ? db_int(q, 0) : INT64_MAX;
    db_reset(q);
    return got != DB_FAILED;
}

/* Few specs have the label's value anywhere, which is cheaper to see than what they say; a value that JSON may write in
 * another way is not looked for. Of damaged ones nothing can be said. */
#define HAS_LABEL                                                      \
    "CASE WHEN instr(spec, ?6)=0 AND ?6 NOT GLOB '*[^-A-Za-z0-9_.:]*'" \
    " THEN 0 WHEN json_valid(spec) THEN EXISTS(SELECT 1 FROM"          \
    " json_each(spec, '$.labels') WHERE key=?5 AND value=?6) ELSE 0 END"

/* Several texts, because an index serves only plain comparisons; job_over, only beside its own words. `order`: of seq. */
#define BETWEEN "seq < ?1 AND seq > ?12 AND sweep IS ?8 AND "
#define PAGE_SQL(and, order)                                                                      \
    "SELECT " JOB_COLUMNS " FROM job WHERE " BETWEEN and                                          \
        " (?3 IS NULL OR kind=?3) AND (?4 IS NULL OR name=?4) AND (?9 IS NULL OR project=?9) AND" \
        " (?10 IS NULL OR project=?10) AND (?5 IS NULL OR " HAS_LABEL ") AND"                     \
        " (?14 IS NULL OR owner=?14) AND"                                                         \
        " (?13 IS NULL OR instr(lower(name), lower(?13)) OR instr(lower(id), lower(?13))=1)"      \
        " ORDER BY seq " order " LIMIT ?2"
#define OF_PROJECT BETWEEN "project=?11 AND "
#define IS_OVER    "state IN ('succeeded','failed','cancelled')"
#define FIRST(state, order)                                                                   \
    "SELECT seq FROM (SELECT seq FROM job WHERE " OF_PROJECT "state='" state "' AND " IS_OVER \
    " ORDER BY seq " order " LIMIT ?2) UNION ALL "

/* Those that are not over: by ranges, which an index serves, for a damaged row may have any text, and is shown. */
#define IN_RANGE(states) "SELECT seq FROM job WHERE " OF_PROJECT states " UNION ALL "
#define ACTIVE                                           \
    IN_RANGE("state < 'cancelled'")                      \
    IN_RANGE("state > 'cancelled' AND state < 'failed'") \
    IN_RANGE("state > 'failed' AND state < 'succeeded'") \
    IN_RANGE("state > 'succeeded'")

/* By what stands in the filter: a final state of one project, any state, one project, anything. */
#define TEXTS(order)                                                                          \
    {                                                                                         \
        PAGE_SQL("project=?11 AND state=?7 AND " IS_OVER " AND", order),                      \
            PAGE_SQL("state=?7 AND", order),                                                  \
            "SELECT " JOB_COLUMNS " FROM job NOT INDEXED WHERE seq IN (" /* but by seq */     \
            FIRST("succeeded", order) FIRST("failed", order) FIRST("cancelled", order) ACTIVE \
            "SELECT NULL) ORDER BY seq " order " LIMIT ?2",                                   \
            PAGE_SQL("", order)                                                               \
    }

static const char *page_sql(const struct job_filter *f, const char *project)
{
    static const char *const texts[2][4] = {TEXTS("DESC"), TEXTS("ASC")};
    const char *const *text = texts[f->oldest_first];

    if (f->state != JOB_STATE_COUNT)
        return text[project && job_is_final(f->state) ? 0 : 1];
    return text[project ? 2 : 3];
}

bool store_jobs_page(struct store *s, int64_t from, int64_t limit, const struct job_filter *f,
                     store_job_fn fn, void *arg, struct error *err)
{
    const char *project = of_project(f);
    struct db_stmt *q = db_prepare(s->state, page_sql(f, project), err);
    int64_t after = f->after, before = f->before ? f->before : INT64_MAX;

    if (!q)
        return false;
    if (from && f->oldest_first)
        after = from > after ? from : after;
    else if (from)
        before = from < before ? from : before;
    db_bind_int(q, 1, before);
    db_bind_int(q, 2, limit);
    db_bind_text(q, 3, f->kind);
    db_bind_text(q, 4, f->name);
    db_bind_text(q, 5, f->label);
    db_bind_text(q, 6, f->label_value);
    db_bind_text(q, 7, f->state == JOB_STATE_COUNT ? NULL : job_state_name(f->state));
    db_bind_text(q, 8, f->sweep);
    db_bind_text(q, 9, f->project);
    db_bind_text(q, 10, f->only);
    db_bind_text(q, 11, project);
    db_bind_int(q, 12, after);
    db_bind_text(q, 13, f->text);
    db_bind_text(q, 14, f->owner);
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
