/* daemon: what is on disk survives, and what may not change does not; metrics by offset; the catalogue. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/db.h"
#include "daemon/ingest.h"
#include "daemon/store_parts.h"
#include "daemon/worker_tool.h"
#include "proto/base/file.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/unit.h"

static struct store *open_store(const char *name)
{
    char *dir = str_path(unit_dir(), name);
    struct error err;
    struct store *s;

    ck_assert_ok(file_make_dirs(dir, 0700, &err), err);
    s = store_open(dir, &err);
    ck_assert_msg(s, "%s", err.msg);
    free(dir);
    return s;
}

START_TEST(a_job_reads_back_after_reopening)
{
    struct store *s = open_store("reopen");
    struct job *j = rig_job(1), *got;
    struct reason why;
    struct error err;
    struct json *before, *after;

    snprintf(j->trace, sizeof(j->trace), "00-x");
    j->ranks_max = 8;
    ck_assert_ok(store_jobs_add(s, &j, 1, &err), err);
    got = store_job_get(s, j->id, &err);
    ck_assert_msg(got && !got->cancel_requested, "%s", err.msg);
    ck_assert_int_eq(got->cancel_grace_s, -1);
    job_destroy(got);
    j->state = JOB_RUNNING;
    reason_set(&why, "attempt_ended", "%s", "why \"so\"\n");
    job_explain(j, &why);
    j->cancel_requested = true;
    j->cancel_grace_s = 60;
    j->attempt = 5;
    j->failures[FAILURE_INFRA] = 2;
    j->failures[FAILURE_DIVERGED] = 1;
    j->not_before_ms = 4000;
    j->turn = 6;
    j->ran_ms = 5000;
    j->ranks = 4;
    j->attempt_ranks = 2;
    j->resize_requested = true;
    j->hold_requested = j->yield_requested = true;
    snprintf(j->yield_for, sizeof(j->yield_for), "job_x");
    j->started_ms = 2000;
    j->finished_ms = 3000;
    j->progress = (struct job_progress){
        .step = 7, .total_steps = 9, .epoch = 1, .eta_s = -1, .images_per_s = -1};
    j->result = str_dup("{\"state\":\"done\"}");
    ck_assert_ok(store_job_update(s, j, &err), err);
    store_close(s);

    s = open_store("reopen");
    got = store_job_get(s, j->id, &err);
    ck_assert_msg(got, "%s", err.msg);
    ck_assert_int_eq(got->cancel_grace_s, 60);
    before = job_json(j, true);
    after = job_json(got, true);
    {
        char *a = js_text(before, JS_COMPACT), *b = js_text(after, JS_COMPACT);

        ck_assert_str_eq(a, b);
        free(a);
        free(b);
    }
    ck_assert(got->seq == j->seq && got->not_before_ms == 4000 && got->limit_ms == j->limit_ms &&
              memcmp(got->failures, j->failures, sizeof(j->failures)) == 0 &&
              got->threads == j->threads && got->attempt_ranks == 2 && got->resize_requested &&
              got->turn == 6);
    ck_assert(got->hold_requested && got->yield_requested && got->min_runtime_ms == 60000 &&
              strcmp(got->yield_for, "job_x") == 0);
    js_free(before);
    js_free(after);
    job_destroy(got);
    got = store_job_get(s, "job_x", &err);
    ck_assert_ptr_null(got);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert(!store_jobs_add(s, &j, 1, &err)); /* an id is given once */
    job_destroy(j);
    store_close(s);
}
END_TEST

static struct event_row last_event;

static void keep_event(const struct event_row *row, void *arg)
{
    *(struct event_row *)arg = *row;
}

START_TEST(jobs_that_come_together_are_numbered_in_their_order)
{
    enum {
        MANY = 111
    };
    struct store *s = open_store("together");
    struct job *jobs[MANY];
    struct error err;

    for (int i = 0; i < MANY; i++)
        jobs[i] = rig_job(i);
    ck_assert_ok(store_begin(s, &err) && store_jobs_add(s, jobs, 50, &err), err);
    store_rollback(s);
    ck_assert_ok(store_jobs_add(s, jobs, 1, &err), err);
    ck_assert_ok(store_begin(s, &err) && store_jobs_add(s, jobs + 1, MANY - 1, &err) &&
                     store_arrivals_add(s, 7, jobs, MANY, &err) && store_commit(s, &err),
                 err);
    for (int i = 0; i < MANY; i++) {
        struct job *got = store_job_get(s, jobs[i]->id, &err);

        ck_assert_msg(got, "%s", err.msg);
        ck_assert(got->seq == jobs[i]->seq && (!i || got->seq == jobs[i - 1]->seq + 1));
        job_destroy(got);
        ck_assert_ok(store_events(s, jobs[i]->id, keep_event, &last_event, &err), err);
        ck_assert(last_event.id == 7 + i && last_event.at_ms == jobs[i]->created_ms);
    }
    for (int i = 0; i < MANY; i++)
        job_destroy(jobs[i]);
    store_close(s);
}
END_TEST

/* What is JSON to nobody would spoil each answer that it stands in. */
START_TEST(a_damaged_result_is_left_out)
{
    static const char *const damage[] = {"{{", "{\"a\":}", "", "no"};
    struct store *s = open_store("result");
    struct job *j = rig_job(1), *got;
    struct json *shown;
    struct error err;

    ck_assert_ok(store_jobs_add(s, &j, 1, &err), err);
    for (size_t i = 0; i < ARRAY_LEN(damage); i++) {
        struct db_stmt *q = db_prepare(store_state(s), "UPDATE job SET result=?", &err);

        db_bind_text(q, 1, damage[i]);
        ck_assert_ok(db_run(q, &err), err);
        got = store_job_get(s, j->id, &err);
        ck_assert_msg(got && !got->result && got->state == j->state, "%s", damage[i]);
        shown = job_json(got, true);
        ck_assert_int_eq(js_kind(js_get(shown, "result")), JS_NULL);
        js_free(shown);
        job_destroy(got);
    }
    job_destroy(j);
    store_close(s);
}
END_TEST

START_TEST(a_final_state_leaves_only_for_the_queue)
{
    struct store *s = open_store("final");
    struct error err;
    int n = 0;

    for (enum job_state from = 0; from < JOB_STATE_COUNT; from++)
        for (enum job_state to = 0; to < JOB_STATE_COUNT; to++) {
            struct job *j = rig_job(n++);
            bool may = !job_is_final(from) || to == from || to == JOB_QUEUED, did;

            ck_assert_ok(store_jobs_add(s, &j, 1, &err), err);
            j->state = from;
            ck_assert_ok(store_job_update(s, j, &err), err);
            j->state = to;
            did = store_job_update(s, j, &err);
            ck_assert_msg(did == may, "%s to %s", job_state_name(from), job_state_name(to));
            ck_assert_msg(did || err.code == ERR_CONFLICT, "%s", err.msg);
            job_destroy(j);
        }
    store_close(s);
}
END_TEST

struct seen {
    int64_t seq[64];
    size_t n;
};

static void note_job(struct job *take_job, void *arg)
{
    struct seen *s = arg;

    ck_assert_uint_lt(s->n, ARRAY_LEN(s->seq));
    s->seq[s->n++] = take_job->seq;
    job_destroy(take_job);
}

START_TEST(pages_have_every_job_once)
{
    const struct job_filter any = {.state = JOB_STATE_COUNT};
    struct store *s = open_store("pages");
    struct error err;
    int64_t counts[JOB_STATE_COUNT];

    for (int i = 0; i < 23; i++) {
        struct job *j = rig_job(i);

        ck_assert_ok(store_jobs_add(s, &j, 1, &err), err);
        j->state = i % 3 ? JOB_FAILED : JOB_QUEUED;
        ck_assert_ok(store_job_update(s, j, &err), err);
        job_destroy(j);
    }
    for (int64_t limit = 1; limit < 25; limit++) {
        int64_t before = 0, total = 0, last = INT64_MAX;

        for (;;) {
            struct seen page = {.n = 0};

            ck_assert_ok(store_jobs_page(s, before, limit, &any, note_job, &page, &err), err);
            for (size_t i = 0; i < page.n; i++) {
                ck_assert_msg(page.seq[i] < last, "limit %d: not newest first", (int)limit);
                before = last = page.seq[i];
                total++;
            }
            if (page.n < (size_t)limit)
                break;
        }
        ck_assert_msg(total == 23, "limit %d: %d jobs", (int)limit, (int)total);
    }
    {
        struct seen failed = {.n = 0}, active = {.n = 0};

        ck_assert_ok(store_jobs_page(s, 0, 64, &(struct job_filter){.state = JOB_FAILED}, note_job,
                                     &failed, &err),
                     err);
        ck_assert_uint_eq(failed.n, 15);
        ck_assert_ok(store_jobs_active(s, note_job, &active, &err), err);
        ck_assert_uint_eq(active.n, 8);
        for (size_t i = 1; i < active.n; i++)
            ck_assert_int_lt(active.seq[i - 1], active.seq[i]);
    }
    ck_assert_ok(store_job_counts(s, counts, &err), err);
    ck_assert(counts[JOB_FAILED] == 15 && counts[JOB_QUEUED] == 8 && counts[JOB_RUNNING] == 0);
    store_close(s);
}
END_TEST

static const char *one_of(uint64_t key, uint64_t at, const char *const *names, uint64_t n)
{
    return names[rng_below(key, at, n)];
}

/* Mostly none. */
static int64_t one_bound(uint64_t key, uint64_t at, uint64_t n)
{
    return rng_below(key, at, 3) ? 0 : (int64_t)rng_below(key, at + 1, n);
}

/* Whether a list shows the job, by a look at it. */
static bool is_meant(const struct job *j, const struct job_filter *f)
{
    return (f->state == JOB_STATE_COUNT || j->state == f->state) &&
           (!f->kind || strcmp(j->kind, f->kind) == 0) &&
           (!f->name || strcmp(j->name, f->name) == 0) &&
           (!f->project || strcmp(j->project, f->project) == 0) &&
           (!f->only || strcmp(j->project, f->only) == 0) && j->seq > f->after &&
           (!f->before || j->seq < f->before) && (!f->text || strstr(j->name, f->text)) &&
           strcmp(j->origin.sweep, f->sweep ? f->sweep : "") == 0;
}

START_TEST(a_page_shows_what_its_filter_means)
{
    enum {
        JOBS = 300
    };
    static const char *const projects[] = {NULL, NULL, "a", "b", "none"};
    static const char *const kinds[] = {NULL, NULL, NULL, "train", "eval"};
    static const char *const names[] = {NULL, NULL, NULL, "x", "y"};
    static const char *const sweeps[] = {NULL, NULL, "job_sweep"};
    const uint64_t key = rng_key(unit_seed(), 77);
    struct store *s = open_store("filters");
    struct job *jobs[JOBS];
    struct db_stmt *damage;
    struct error err;

    for (uint64_t i = 0; i < JOBS; i++) {
        struct job *j = jobs[i] = rig_job((int)i);

        snprintf(j->project, sizeof(j->project), "%s", one_of(key, 10 * i, projects + 2, 2));
        snprintf(j->kind, sizeof(j->kind), "%s", one_of(key, 10 * i + 1, kinds + 3, 2));
        snprintf(j->name, sizeof(j->name), "%s", one_of(key, 10 * i + 2, names + 3, 2));
        if (rng_below(key, 10 * i + 3, 3) == 0)
            snprintf(j->origin.sweep, sizeof(j->origin.sweep), "%s", sweeps[2]);
        j->origin.index = (int64_t)i;
        ck_assert_ok(store_jobs_add(s, &jobs[i], 1, &err), err);
        j->state = (enum job_state)rng_below(key, 10 * i + 4, JOB_STATE_COUNT);
        ck_assert_ok(store_job_update(s, j, &err), err);
    }
    /* A damaged one is of no state, and shown with all. */
    damage = db_prepare(s->state,
                        "UPDATE job SET state = CASE seq / 20 % 4 WHEN 0 THEN '' WHEN 1 THEN 'dead'"
                        " WHEN 2 THEN 'nonsense' ELSE 'zombie' END WHERE seq % 20 = 7",
                        &err);
    ck_assert_ok(damage && db_run(damage, &err), err);
    for (size_t i = 0; i < JOBS; i++)
        if (jobs[i]->seq % 20 == 7)
            jobs[i]->state = JOB_STATE_COUNT;
    for (uint64_t round = 0; round < 3000; round++) {
        const uint64_t draw = rng_key(key, round);
        const struct job_filter f = {.state =
                                         (enum job_state)rng_below(draw, 0, JOB_STATE_COUNT + 1),
                                     .kind = one_of(draw, 1, kinds, ARRAY_LEN(kinds)),
                                     .name = one_of(draw, 2, names, ARRAY_LEN(names)),
                                     .project = one_of(draw, 3, projects, ARRAY_LEN(projects)),
                                     .only = one_of(draw, 4, projects, ARRAY_LEN(projects)),
                                     .sweep = one_of(draw, 5, sweeps, ARRAY_LEN(sweeps)),
                                     .text = one_of(draw, 8, names, ARRAY_LEN(names)),
                                     .after = one_bound(draw, 9, JOBS),
                                     .before = one_bound(draw, 11, JOBS),
                                     .oldest_first = rng_below(draw, 13, 2) == 1};
        const size_t limit = 1 + (size_t)rng_below(draw, 6, 40);
        const int64_t from = (int64_t)rng_below(draw, 7, JOBS + 10);
        struct seen page = {.n = 0};
        size_t n = 0;

        ck_assert_ok(store_jobs_page(s, from, (int64_t)limit, &f, note_job, &page, &err), err);
        for (size_t k = 0; k < JOBS && n < limit; k++) {
            const size_t i = f.oldest_first ? k : JOBS - 1 - k;
            const int64_t seq = jobs[i]->seq;

            if ((from && (f.oldest_first ? seq <= from : seq >= from)) || !is_meant(jobs[i], &f))
                continue;
            ck_assert_msg(n < page.n && page.seq[n] == jobs[i]->seq,
                          "round %d: job %d is not at place %zu", (int)round, (int)i, n);
            n++;
        }
        ck_assert_msg(n == page.n, "round %d: %zu jobs too many", (int)round, page.n - n);
    }
    for (size_t i = 0; i < JOBS; i++)
        job_destroy(jobs[i]);
    store_close(s);
}
END_TEST

START_TEST(a_transaction_is_whole_or_nothing)
{
    struct store *s = open_store("nest");
    struct job *a = rig_job(1), *b = rig_job(2), *got;
    struct error err;

    /* An inner commit does not survive the outer rollback. */
    ck_assert_ok(store_begin(s, &err), err);
    ck_assert_ok(store_begin(s, &err), err);
    ck_assert_ok(store_jobs_add(s, &a, 1, &err), err);
    ck_assert_ok(store_commit(s, &err), err);
    store_rollback(s);
    ck_assert_ptr_null(store_job_get(s, a->id, &err));
    /* An inner rollback undoes all, and the next transaction is sound. */
    ck_assert_ok(store_begin(s, &err), err);
    ck_assert_ok(store_jobs_add(s, &a, 1, &err), err);
    ck_assert_ok(store_begin(s, &err), err);
    store_rollback(s);
    ck_assert_ok(store_begin(s, &err), err);
    ck_assert_ok(store_jobs_add(s, &b, 1, &err), err);
    ck_assert_ok(store_commit(s, &err), err);
    store_close(s);
    s = open_store("nest");
    ck_assert_ptr_null(store_job_get(s, a->id, &err));
    got = store_job_get(s, b->id, &err);
    ck_assert_msg(got, "%s", err.msg);
    job_destroy(got);
    job_destroy(a);
    job_destroy(b);
    store_close(s);
}
END_TEST

static bool allow(void *arg, struct error *err)
{
    (void)arg;
    (void)err;
    return true;
}

static bool run_sql(struct store *s, const char *sql, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s), sql, err);

    return q && db_run(q, err);
}

START_TEST(trouble_ends_with_a_commit_that_succeeds)
{
    static const char bad[] = "INSERT INTO setting VALUES('paused', NULL)";
    struct store *s = open_store("trouble");
    struct error err;

    for (int before = 0; before < 2; before++) {
        if (before)
            db_before_commit(store_state(s), allow, NULL);
        ck_assert(!run_sql(s, bad, &err));
        ck_assert_ptr_nonnull(db_trouble(store_state(s)));
        ck_assert_ok(store_set_paused(s, true, &err), err);
        ck_assert_msg(!db_trouble(store_state(s)), "before %d: %s", before,
                      db_trouble(store_state(s)));
    }
    ck_assert(!run_sql(s, bad, &err));
    ck_assert_ok(store_begin(s, &err) && store_set_paused(s, false, &err) && store_commit(s, &err),
                 err);
    ck_assert_ptr_null(db_trouble(store_state(s)));
    store_close(s);
}
END_TEST

START_TEST(no_part_begins_where_the_transaction_has_ended)
{
    struct store *s = open_store("parts");
    struct db *db = store_state(s);
    struct error err;
    bool paused;

    ck_assert_ok(run_sql(s,
                         "CREATE TRIGGER ends BEFORE INSERT ON session BEGIN SELECT"
                         " raise(ROLLBACK, 'no room'); END",
                         &err),
                 err);
    ck_assert_ok(store_begin(s, &err) && db_part_begin(db, &err) &&
                     store_set_paused(s, true, &err) && db_part_end(db, &err),
                 err);
    ck_assert_ok(db_part_begin(db, &err), err);
    ck_assert(db_in_transaction(db));
    ck_assert(!run_sql(s, "INSERT INTO session VALUES('a', 1, 'b', 'c')", &err));
    db_part_undo(db);
    ck_assert(!db_in_transaction(db));
    ck_assert(!db_part_begin(db, &err)); /* what followed would be committed by itself */
    store_rollback(s);
    ck_assert_ok(store_paused(s, &paused, &err), err);
    ck_assert(!paused);
    store_close(s);
}
END_TEST

static uint64_t first_event(struct store *s)
{
    uint64_t first = 0;
    struct error err;

    ck_assert_ok(store_first_event_id(s, &first, &err), err);
    return first;
}

START_TEST(event_ids_rise_over_runs)
{
    struct store *s = open_store("events");
    struct job *j = rig_job(1);
    struct error err;

    ck_assert_uint_ge(first_event(s), 1);
    ck_assert_ok(store_reserve_events(s, 70000, &err), err);
    store_close(s);
    s = open_store("events");
    ck_assert_uint_eq(first_event(s), 70000);
    /* History that is ahead of the reservation counts. */
    ck_assert_ok(store_jobs_add(s, &j, 1, &err), err);
    ck_assert_ok(store_event_add(s, 70000, 1, j, &err), err);
    ck_assert_ok(store_event_add(s, 70005, 1, j, &err), err);
    ck_assert_uint_eq(first_event(s), 70006);
    job_destroy(j);
    store_close(s);
}
END_TEST

START_TEST(a_newer_file_is_refused)
{
    static const char *const scripts[] = {"CREATE TABLE a(x INTEGER) STRICT",
                                          "ALTER TABLE a ADD COLUMN y INTEGER"};
    static const struct db_schema one = {.scripts = scripts, .version = 1};
    static const struct db_schema two = {.scripts = scripts, .version = 2};
    char *path = str_path(unit_dir(), "version.db");
    struct error err;
    struct db *db = db_open(path, DB_SYNC_FULL, &one, &err);

    ck_assert_msg(db, "%s", err.msg);
    ck_assert_ok(db_run(db_prepare(db, "INSERT INTO a VALUES(7)", &err), &err), err);
    db_close(db);
    /* An older one is brought up to date, and keeps its rows. */
    db = db_open(path, DB_SYNC_FULL, &two, &err);
    ck_assert_msg(db, "%s", err.msg);
    {
        struct db_stmt *q = db_prepare(db, "SELECT x, y FROM a", &err);

        ck_assert_int_eq(db_step(q, &err), DB_ROW);
        ck_assert(db_int(q, 0) == 7 && db_is_null(q, 1));
        db_reset(q);
    }
    db_close(db);
    ck_assert_error(db_open(path, DB_SYNC_FULL, &one, &err), err, "newer distilld");
    ck_assert_int_eq(err.code, ERR_DATA);
    ck_assert_ok(file_replace(path, "this is no database, but long enough", 36, 0600, &err), err);
    ck_assert_error(db_open(path, DB_SYNC_FULL, &one, &err), err, "version.db");
    free(path);
}
END_TEST

/* One line for each table, index and trigger, as SQLite has it. */
static char *describe(const char *name, const struct db_schema *schema)
{
    char *path = str_path(unit_dir(), name);
    struct buf b = buf_new(0);
    struct error err;
    struct db *db = db_open(path, DB_SYNC_NORMAL, schema, &err);
    struct db_stmt *q;

    ck_assert_msg(db, "%s", err.msg);
    q = db_prepare(db,
                   "SELECT type || ' ' || name || ': ' || coalesce(sql, '') FROM sqlite_schema"
                   " UNION ALL SELECT name || '=' || value FROM counter ORDER BY 1",
                   &err);
    ck_assert_msg(q, "%s", err.msg);
    while (db_step(q, &err) == DB_ROW)
        buf_fmt(&b, "%s\n", db_text(q, 0));
    db_close(db);
    free(path);
    return buf_take(&b);
}

START_TEST(a_fresh_file_is_what_all_scripts_would_have_made)
{
    struct db_schema by_steps = store_state_schema;
    char *fresh = describe("fresh.db", &store_state_schema), *steps;

    by_steps.whole = NULL;
    steps = describe("steps.db", &by_steps);
    ck_assert_str_eq(fresh, steps);
    free(fresh);
    free(steps);
}
END_TEST

/* -- Metrics ----------------------------------------------------------------------------------- */

/* "name split step value;..." */
static void note_point(const struct metric_point *p, void *arg)
{
    buf_fmt(arg, "%s %s %d %g;", p->name, p->split, (int)p->step, p->value);
}

static void check_points(struct store *s, const char *job, const char *name, const char *want)
{
    struct buf got = buf_new(0);
    struct error err;

    const struct metric_query q = {.job = job, .name = name, .to = INT64_MAX};

    ck_assert_ok(store_metrics_read(s, &q, note_point, &got, &err), err);
    ck_assert_str_eq(buf_text(&got), want);
    buf_free(&got);
}

START_TEST(points_come_once_with_their_offset)
{
    static const struct metric_point first[] = {
        {"lr", "train", 2, 0.5}, {"lr", "train", 1, 0.25}, {"top1", "test", 2, 50}};
    static const struct metric_point again[] = {{"lr", "train", 2, 0.75},
                                                {"top1", "train", 3, (double)NAN}};
    struct store *s = open_store("points");
    struct error err;

    ck_assert_int_eq(store_metrics_offset(s, "a"), 0);
    ck_assert_ok(store_metrics_add(s, "a", first, 3, 100, &err), err);
    ck_assert_ok(store_metrics_add(s, "b", first, 1, 30, &err), err);
    ck_assert_ok(store_metrics_add(s, "a", again, 2, 150, &err), err);
    store_close(s);
    s = open_store("points");
    ck_assert_int_eq(store_metrics_offset(s, "a"), 150);
    ck_assert_int_eq(store_metrics_offset(s, "b"), 30);
    check_points(s, "a", NULL, "lr train 1 0.25;lr train 2 0.75;top1 test 2 50;top1 train 3 nan;");
    check_points(s, "a", "lr", "lr train 1 0.25;lr train 2 0.75;");
    ck_assert_ok(store_metrics_reset(s, "a", &err), err);
    ck_assert_int_eq(store_metrics_offset(s, "a"), 0);
    check_points(s, "a", NULL, "");
    check_points(s, "b", NULL, "lr train 2 0.5;");
    store_close(s);
}
END_TEST

#define LINE(step, value) \
    "{\"step\":" #step ",\"epoch\":0,\"split\":\"train\",\"name\":\"lr\",\"value\":" #value "}\n"
static const char lines[] = LINE(1, 0.5) LINE(2, 0.25) LINE(3, null);

static bool ingest(struct daemon *d, struct job *j, int64_t offset, const char *data, size_t len,
                   int64_t want, struct error *err)
{
    int64_t known = -1;
    bool ok = ingest_lines(d, j, offset, data, len, &known, err);

    ck_assert_msg(known == want, "offset %d, %zu bytes: %d are known instead of %d", (int)offset,
                  len, (int)known, (int)want);
    ck_assert_int_eq(store_metrics_offset(d->store, j->id), want);
    return ok;
}

START_TEST(lines_arrive_in_any_cut_and_count_once)
{
    const int64_t all = (int64_t)strlen(lines), one = strchr(lines, '\n') + 1 - lines;
    struct daemon d;
    struct job *j;
    struct error err;

    rig_open(&d, "ingest", 64);
    j = rig_submit(&d, 1);
    ck_assert_ok(ingest(&d, j, 0, lines, (size_t)one, one, &err), err);
    ck_assert_uint_eq(events_next_id(d.events), 2);
    /* A repeat tells nothing new. */
    ck_assert_ok(ingest(&d, j, 0, lines, (size_t)one, one, &err), err);
    ck_assert_ok(ingest(&d, j, 0, lines, 0, one, &err), err);
    ck_assert_ok(ingest(&d, j, one, NULL, 0, one, &err), err);
    ck_assert_uint_eq(events_next_id(d.events), 2);
    /* Gap, garbage, half a line, and an overlap that begins within a line: nothing of it counts. */
    ck_assert_error(ingest(&d, j, one + 1, lines, (size_t)one, one, &err), err, "only");
    ck_assert_error(ingest(&d, j, one, lines + one, (size_t)(all - one - 1), one, &err), err,
                    "middle of a line");
    ck_assert_error(ingest(&d, j, one, "{}\n", 3, one, &err), err, "lacks");
    ck_assert_error(ingest(&d, j, one, "\n", 1, one, &err), err, "job_");
    ck_assert_error(ingest(&d, j, one, LINE(2, 1) "x\n", strlen(LINE(2, 1)) + 2, one, &err), err,
                    "job_");
    ck_assert_error(ingest(&d, j, one - 1, lines, (size_t)all, one, &err), err, "job_");
    ck_assert_int_eq(err.code, ERR_INVALID);
    check_points(d.store, j->id, NULL, "lr train 1 0.5;");
    ck_assert_uint_eq(events_next_id(d.events), 2);
    /* An overlap adds what is behind it. */
    ck_assert_ok(ingest(&d, j, 0, lines, (size_t)all, all, &err), err);
    check_points(d.store, j->id, NULL, "lr train 1 0.5;lr train 2 0.25;lr train 3 nan;");
    ck_assert_uint_eq(events_next_id(d.events), 3);
    rig_close(&d);
}
END_TEST

START_TEST(what_is_no_file_has_no_metrics)
{
    char *out, *path;
    struct error err;
    struct daemon d;
    struct job *j;

    rig_open(&d, "no-file", 64);
    j = rig_submit(&d, 1);
    out = daemon_job_path(&d, j->id, "out");
    path = str_path(out, "metrics.jsonl");
    ck_assert_ok(file_make_dirs(out, 0755, &err), err);
    alarm(10); /* nobody writes to it */
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert(!ingest_rest(&d, j, &err) && err.code == ERR_DATA);
    alarm(0);
    unlink(path);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    ck_assert(!ingest_rest(&d, j, &err) && err.code == ERR_FORBIDDEN);
    free(path);
    free(out);
    rig_close(&d);
}
END_TEST

START_TEST(the_rest_is_read_from_the_file)
{
    struct daemon d;
    struct job *j;
    struct error err;
    char *out, *path;

    rig_open(&d, "rest", 64);
    j = rig_submit(&d, 1);
    ck_assert_ok(ingest_rest(&d, j, &err), err); /* no file, no metrics */
    out = daemon_job_path(&d, j->id, "out");
    path = str_path(out, "metrics.jsonl");
    ck_assert_ok(file_make_dirs(out, 0755, &err), err);
    /* A line that was cut off by a kill is left for later. */
    ck_assert_ok(file_replace(path, lines, strlen(lines) - 5, 0644, &err), err);
    ck_assert_ok(ingest_rest(&d, j, &err), err);
    check_points(d.store, j->id, NULL, "lr train 1 0.5;lr train 2 0.25;");
    ck_assert_ok(file_replace(path, lines, strlen(lines), 0644, &err), err);
    ck_assert_ok(ingest_rest(&d, j, &err), err);
    check_points(d.store, j->id, NULL, "lr train 1 0.5;lr train 2 0.25;lr train 3 nan;");
    free(path);
    free(out);
    rig_close(&d);
}
END_TEST

/* -- The catalogue ----------------------------------------------------------------------------- */

static bool load(const char *script, struct error *err)
{
    char *path = str_path(unit_dir(), "worker"), *kept;
    struct catalog c;
    bool ok;

    catalog_init(&c);
    unlink(path);
    if (script) {
        ck_assert_ok(file_replace(path, script, strlen(script), 0755, err), *err);
        ck_assert_int_eq(chmod(path, 0755), 0);
    }
    kept = str_path(unit_dir(), "kept.json");
    ok = worker_catalog_ask(path, kept, NULL, &c, err);
    ck_assert(!file_exists(kept) &&
              !worker_catalog_kept(path, kept, &c)); /* a script is asked each time */
    free(kept);
    catalog_free(&c);
    free(path);
    return ok;
}

START_TEST(a_worker_that_does_not_answer_is_named)
{
    static const char good[] =
        "#!/bin/sh\n[ \"$*\" = catalog ] || exit 9\ncat <<E\n{\"models\":[{\"name\":\"m\"}],"
        "\"losses\":[{\"name\":\"ce\"}],\"data\":[{\"name\":\"idx\"}],\"optimizers\":[{\"name\":"
        "\"sgd\"}],"
        "\"schedules\":[{\"name\":\"multistep\"}]}\nE\n";
    static const struct {
        const char *script, *text;
    } cases[] = {
        {NULL, "No such file"},
        {"#!/bin/sh\nexit 3\n", "wait status"},
        {"#!/bin/sh\nkill -9 $$\n", "wait status 9"},
        {"#!/bin/sh\necho '{}'\nexit 1\n", "wait status"},
        {"#!/bin/sh\nexit 0\n", "asking"},
        {"#!/bin/sh\necho nonsense\n", "asking"},
        {"#!/bin/sh\necho '{}'\n", "asking"},
        {"#!/bin/sh\necho '{\"models\":[]}'\n", "asking"},
        {"#!/bin/sh\nexec head -c 2000000 /dev/zero\n", "more than"},
    };
    struct error err;

    ck_assert_ok(load(good, &err), err);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_msg(!load(cases[i].script, &err), "case %zu succeeded", i);
        ck_assert_msg(strstr(err.msg, cases[i].text) && strstr(err.msg, "/worker"), "case %zu: %s",
                      i, err.msg);
    }
}
END_TEST

START_TEST(an_answer_is_kept_with_its_job_and_then_forgotten)
{
    struct store *s = open_store("replies");
    struct job *j = rig_job(1);
    struct stored_reply reply = {.body_sha256 = "abc", .status = 202}, got;
    char text[] = "{\"id\":1}";
    struct error err;

    reply.text = text;
    memcpy(reply.job, j->id, sizeof(reply.job));
    /* What is rolled back with the job is not there. */
    ck_assert_ok(store_begin(s, &err) && store_jobs_add(s, &j, 1, &err) &&
                     store_reply_add(s, "key", &reply, 1000, &err),
                 err);
    store_rollback(s);
    ck_assert_ok(store_reply_find(s, "key", &got, &err), err);
    ck_assert_ptr_null(got.text);
    ck_assert_ok(store_jobs_add(s, &j, 1, &err) && store_reply_add(s, "key", &reply, 1000, &err),
                 err);
    ck_assert(!store_reply_add(s, "key", &reply, 1000, &err));
    store_close(s);

    s = open_store("replies");
    ck_assert_ok(store_replies_forget(s, 1000, &err), err);
    ck_assert_ok(store_reply_find(s, "key", &got, &err), err);
    ck_assert_str_eq(got.text, text);
    ck_assert_str_eq(got.body_sha256, "abc");
    ck_assert_str_eq(got.job, j->id);
    ck_assert_int_eq(got.status, 202);
    free(got.text);
    ck_assert_ok(store_replies_forget(s, 1001, &err), err);
    ck_assert_ok(store_reply_find(s, "key", &got, &err), err);
    ck_assert_ptr_null(got.text);
    job_destroy(j);
    store_close(s);
}
END_TEST

UNIT_MAIN(an_answer_is_kept_with_its_job_and_then_forgotten, a_job_reads_back_after_reopening,
          jobs_that_come_together_are_numbered_in_their_order, a_damaged_result_is_left_out,
          a_final_state_leaves_only_for_the_queue, pages_have_every_job_once,
          a_page_shows_what_its_filter_means, a_transaction_is_whole_or_nothing,
          trouble_ends_with_a_commit_that_succeeds, no_part_begins_where_the_transaction_has_ended,
          event_ids_rise_over_runs, a_newer_file_is_refused,
          a_fresh_file_is_what_all_scripts_would_have_made, points_come_once_with_their_offset,
          lines_arrive_in_any_cut_and_count_once, what_is_no_file_has_no_metrics,
          the_rest_is_read_from_the_file, a_worker_that_does_not_answer_is_named)
