#include "daemon/salvage.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/attempt.h"
#include "daemon/backup.h"
#include "daemon/ids.h"
#include "daemon/outcome.h"
#include "daemon/refs.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/sha256.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"
#include "proto/wire/job.h"

enum {
    NOTE_MAX = 8 << 20,
    TOKEN_MAX = 256,
    ATTEMPTS_MAX = 1000000,
    FAILURES_MAX = 1000000,
    COPY_MS = 60000 /* a copy takes no longer */
};

void salvage_note(struct daemon *d, const struct job *j)
{
    char *dir, *path, *text;
    struct json *note;
    struct error err;

    if (!j->attempt || job_is_sweep(j))
        return;
    dir = daemon_attempt_path(d, j);
    path = str_path(dir, "job.json");
    note = job_json(j, true);
    js_set(note, "uses", refs_json(d, j->id));
    js_set(note, "cancel_grace_s", js_new_int(j->cancel_grace_s));
    js_set(note, "yield_requested", js_new_bool(j->yield_requested));
    text = js_text(note, JS_COMPACT);
    if (!file_publish(path, text, strlen(text), 0600, &err))
        log_debug("a job is not noted error=\"%s\"", err.msg);
    js_free(note);
    free(text);
    free(path);
    free(dir);
}

struct salvage {
    struct daemon *daemon;
    uint64_t event; /* the next one's id */
    int64_t now_ms, copied_ms;
    size_t found, left;
};

typedef VEC(int64_t) numbers;

/* A job's folder. */
struct folder {
    const char *id;
    char *path;    /* of its attempts */
    numbers begun; /* those in which a shim has left a record, and the one that is noted; rising */
    struct json *note; /* the newest; NULL: there is none */
    int64_t noted;     /* of which attempt it is */
};

/* -- Reading a folder ---------------------------------------------------------------------------------- */

static bool has(const char *dir, const char *name)
{
    char *path = str_path(dir, name);
    bool there = file_exists(path);

    free(path);
    return there;
}

static char *attempt_dir(const struct folder *f, int64_t number)
{
    return str_fmt("%s/%" PRId64, f->path, number);
}

/* NULL: there is none that can be read, or it is another job's. */
static struct json *read_note(const struct folder *f, int64_t number)
{
    char *dir = attempt_dir(f, number), *path = str_path(dir, "job.json");
    struct json *note = js_read_file(path, NOTE_MAX, NULL);

    if (note && (strcmp(js_string(js_get(note, "id"), ""), f->id) != 0 ||
                 js_int(js_get(note, "attempt"), 0) != number)) {
        js_free(note);
        note = NULL;
    }
    free(path);
    free(dir);
    return note;
}

static int64_t noted_at(const struct folder *f, int64_t number)
{
    char *dir = attempt_dir(f, number), *path = str_path(dir, "job.json");
    struct stat st;
    int64_t ms = stat(path, &st) == 0 ? (int64_t)st.st_mtim.tv_sec * 1000 : 0;

    free(path);
    free(dir);
    return ms;
}

static int by_number(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* A folder of an attempt has its number for a name, and no other form of it. */
static bool is_attempt(const struct folder *f, const char *name, int64_t *number)
{
    char *path;
    struct stat st;
    bool is;

    if (name[0] == '0' || !str_int(name, 1, ATTEMPTS_MAX, number))
        return false;
    path = str_path(f->path, name);
    is = lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
    free(path);
    return is;
}

static int64_t newest(const struct folder *f)
{
    return f->begun.n ? f->begun.at[f->begun.n - 1] : 0;
}

static void open_folder(const struct salvage *s, const char *id, struct folder *f)
{
    numbers all = {0};
    int64_t number;
    DIR *dir;

    *f = (struct folder){.id = id, .path = daemon_job_path(s->daemon, id, "attempts")};
    dir = opendir(f->path);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (is_attempt(f, e->d_name, &number))
            vec_push(&all, number);
    if (dir)
        closedir(dir);
    if (all.n)
        qsort(all.at, all.n, sizeof(*all.at), by_number);
    for (size_t i = 0; i < all.n; i++) {
        char *attempt = attempt_dir(f, all.at[i]);

        if (has(attempt, "attempt.json") || has(attempt, "exit.json"))
            vec_push(&f->begun, all.at[i]);
        free(attempt);
    }
    for (size_t i = all.n; i-- > 0 && !f->note;)
        if ((f->note = read_note(f, all.at[i])))
            f->noted = all.at[i];
    if (f->noted > newest(f))
        vec_push(&f->begun, f->noted);
    vec_free(&all);
}

static void close_folder(struct folder *f)
{
    js_free(f->note);
    vec_free(&f->begun);
    free(f->path);
}

static int64_t time_in(const struct json *j, const char *name, int64_t otherwise)
{
    int64_t ms;

    return clock_parse(js_string(js_get(j, name), ""), &ms) && ms > 0 ? ms : otherwise;
}

/* -- Attempts ------------------------------------------------------------------------------------------ */

static int64_t began_at(const struct salvage *s, const char *dir)
{
    char *path = str_path(dir, "attempt.json");
    struct json *owner = js_read_file(path, NOTE_MAX, NULL);
    int64_t ms = time_in(owner, "started_at", s->now_ms);

    js_free(owner);
    free(path);
    return ms;
}

/* What rank 0 shows to come back to us; "" when that cannot be read: its ranks go on, and are not heard. */
static void read_token(const char *dir, char hex[SHA256_HEX])
{
    char *path = str_path(dir, "token");
    struct buf token = buf_new(TOKEN_MAX);

    hex[0] = '\0';
    if (file_read(path, &token, NULL))
        sha256_of(buf_text(&token), token.len, hex);
    buf_free(&token);
    free(path);
}

static bool add_attempt(const struct salvage *s, const struct folder *f, const struct job *j,
                        int64_t number, struct error *err)
{
    char *dir = attempt_dir(f, number), hex[SHA256_HEX];
    struct json *note = read_note(f, number);
    const char *placement = js_string(js_get(note ? note : f->note, "placement"), "");
    char *here = str_fmt("localhost:%" PRId64, j->ranks);
    bool ok;

    read_token(dir, hex);
    ok = store_attempt_add(s->daemon->store, j->id, number, began_at(s, dir), hex,
                           *placement ? placement : here, err);
    free(here);
    js_free(note);
    free(dir);
    return ok;
}

static bool end_attempt(const struct salvage *s, const struct folder *f, const struct job *j,
                        int64_t number, struct error *err)
{
    const struct retry_policy policy = retry_policy_of(j->spec);
    char *dir = attempt_dir(f, number);
    struct attempt_exit e;
    bool ok;

    if (!attempt_read_exit(dir, &e, NULL))
        e = (struct attempt_exit){.status = 1, .lost = true};
    e.class = outcome_of(&e, j, &policy).failure;
    ok = store_attempt_end(s->daemon->store, j->id, number, e.ended_ms ? e.ended_ms : s->now_ms, &e,
                           err);
    free(dir);
    return ok;
}

/* Rows of a job's attempts that have ended, and the last of all. */
struct rows {
    numbers ended;
    int64_t last;
};

static void see_row(const struct attempt_row *row, void *arg)
{
    struct rows *rows = arg;

    if (row->ended_ms)
        vec_push(&rows->ended, row->number);
    if (row->number > rows->last)
        rows->last = row->number;
}

static bool has_ended(const struct rows *rows, int64_t number)
{
    for (size_t i = 0; i < rows->ended.n; i++)
        if (rows->ended.at[i] == number)
            return true;
    return false;
}

/* All that have begun have rows, and all but the one that goes on have ended. */
static bool settle_attempts(const struct salvage *s, const struct folder *f, const struct job *j,
                            bool newest_goes_on, struct error *err)
{
    struct rows rows = {.last = 0};
    bool ok = store_attempts(s->daemon->store, j->id, see_row, &rows, err);

    for (size_t i = 0; ok && i < f->begun.n; i++) {
        const int64_t n = f->begun.at[i];

        ok = n <= rows.last || add_attempt(s, f, j, n, err);
        if (ok && !has_ended(&rows, n) && !(newest_goes_on && n == newest(f)))
            ok = end_attempt(s, f, j, n, err);
    }
    vec_free(&rows.ended);
    return ok;
}

/* -- Jobs ---------------------------------------------------------------------------------------------- */

/* "a:2,b:1": 3 */
static int64_t ranks_in(const char *placement)
{
    int64_t n = 0;

    for (const char *p = strchr(placement, ':'); p; p = strchr(p + 1, ':'))
        n += strtol(p + 1, NULL, 10);
    return n > 0 && n < INT32_MAX ? n : 0;
}

static int64_t bounded(const struct json *value, int64_t least, int64_t most, int64_t otherwise)
{
    const int64_t v = js_int(value, otherwise);

    return v >= least && v <= most ? v : otherwise;
}

static void take_reason(struct job *j, const struct json *reason)
{
    struct reason why;

    reason_set(&why, js_string(js_get(reason, "code"), ""), "%s",
               js_string(js_get(reason, "message"), ""));
    job_explain(j, why.code[0] ? &why : NULL);
}

/* What a user may have changed, and what has become of it. */
static void take_note(struct job *j, const struct json *note)
{
    const struct json *failures = js_get(note, "failures"), *progress = js_get(note, "progress");
    const double ran_s = js_real(js_get(note, "ran_s"), 0);

    snprintf(j->name, sizeof(j->name), "%s", js_string(js_get(note, "name"), j->name));
    j->priority = bounded(js_get(note, "priority"), INT32_MIN, INT32_MAX, j->priority);
    j->ranks = bounded(js_get(note, "ranks"), 1, INT32_MAX, j->ranks);
    j->cancel_requested = js_bool(js_get(note, "cancel_requested"), false);
    j->cancel_grace_s = bounded(js_get(note, "cancel_grace_s"), 0, INT32_MAX / 2, -1);
    j->hold_requested = js_bool(js_get(note, "hold_requested"), false);
    j->started_ms = time_in(note, "started_at", j->started_ms);
    j->finished_ms = time_in(note, "finished_at", 0);
    j->not_before_ms = time_in(note, "not_before", 0);
    j->ran_ms = ran_s >= 0 && ran_s < INT32_MAX ? (int64_t)(1e3 * ran_s) : 0;
    for (enum failure f = FAILURE_NONE + 1; f < FAILURE_COUNT; f++)
        j->failures[f] = bounded(js_get(failures, failure_name(f)), 0, FAILURES_MAX, 0);
    j->progress.step = bounded(js_get(progress, "step"), 0, INT64_MAX, 0);
    j->progress.total_steps = bounded(js_get(progress, "total_steps"), 0, INT64_MAX, 0);
    j->progress.epoch = bounded(js_get(progress, "epoch"), 0, INT64_MAX, 0);
    take_reason(j, js_get(note, "reason"));
    if (js_kind(js_get(note, "spec")) == JS_OBJECT) {
        free(j->spec);
        j->spec = js_text(js_get(note, "spec"), JS_COMPACT);
    }
}

static void take_result(struct job *j, const struct json *result)
{
    free(j->result);
    j->result = js_kind(result) == JS_OBJECT ? js_text(result, JS_COMPACT) : NULL;
}

/* How far it had come: over, waiting, or with an attempt that may go on, which is found out as at any start. */
static enum job_state state_now(const struct folder *f)
{
    enum job_state noted;

    if (f->noted < newest(f) || !job_state_parse(js_string(js_get(f->note, "state"), ""), &noted))
        return JOB_STARTING;
    return job_is_final(noted) || noted == JOB_QUEUED ? noted : JOB_STARTING;
}

static bool store_row(struct salvage *s, struct job *j, enum job_state state, struct error *err)
{
    struct store *store = s->daemon->store;

    /* One that was over and has been retried since: a row that is over takes no other way. */
    j->state = JOB_QUEUED;
    if (!store_job_update(store, j, err))
        return false;
    j->state = state;
    return (state == JOB_QUEUED || store_job_update(store, j, err)) &&
           store_job_edit(store, j, err) && store_event_add(store, s->event++, s->now_ms, j, err);
}

/* The job's row, and those of its attempts, as the folder has them. */
static bool bring_up(struct salvage *s, const struct folder *f, struct job *j, struct error *err)
{
    const enum job_state state = state_now(f);
    const bool goes_on = state == JOB_STARTING;
    struct reason why;

    if (f->note)
        take_note(j, f->note);
    j->attempt = newest(f);
    j->attempt_ranks =
        f->noted == j->attempt ? ranks_in(js_string(js_get(f->note, "placement"), "")) : 0;
    j->attempt_ranks = j->attempt_ranks ? j->attempt_ranks : j->ranks;
    j->resize_requested = goes_on && j->attempt_ranks != j->ranks;
    j->yield_requested =
        goes_on && f->noted == j->attempt && js_bool(js_get(f->note, "yield_requested"), false);
    j->yield_for[0] = '\0';
    j->behind = 0;
    j->started_ms = j->started_ms ? j->started_ms : s->now_ms;
    take_result(j, state == JOB_SUCCEEDED ? js_get(f->note, "result") : NULL);
    if (goes_on) {
        j->finished_ms = j->not_before_ms = 0;
        reason_set(&why, "recovered",
                   "found with attempt %" PRId64 " in its folder, after state.db was recovered",
                   j->attempt);
        job_explain(j, &why);
    }
    return settle_attempts(s, f, j, goes_on, err) && store_row(s, j, state, err);
}

/* Whether the copy has it all. A note that is older than the copy is one that could not be made anew. */
static bool is_known(const struct salvage *s, const struct folder *f, const struct job *j)
{
    const enum job_state state = state_now(f);

    if (job_is_damaged(j) || newest(f) < j->attempt)
        return true;
    if (newest(f) > j->attempt)
        return false;
    if (!f->note || f->noted < j->attempt || noted_at(f, f->noted) < s->copied_ms - COPY_MS)
        return true;
    return (state == j->state || (state == JOB_STARTING && j->state == JOB_RUNNING)) &&
           js_bool(js_get(f->note, "cancel_requested"), false) == j->cancel_requested &&
           js_bool(js_get(f->note, "hold_requested"), false) == j->hold_requested &&
           js_bool(js_get(f->note, "yield_requested"), false) == j->yield_requested &&
           js_int(js_get(f->note, "priority"), 0) == j->priority &&
           strcmp(js_string(js_get(f->note, "name"), ""), j->name) == 0 &&
           js_int(js_get(f->note, "ranks"), 0) == j->ranks;
}

/* A job that came after the copy; NULL: what is noted of it makes none. */
static struct job *make_job(const struct salvage *s, const struct folder *f)
{
    struct problems p = {0};
    JobSpec *spec = job_from_json(js_get(f->note, "spec"), &p);
    struct job *j = NULL;

    if (spec && !p.list.n && job_kind_known(js_string(js_get(f->note, "kind"), ""))) {
        j = job_new(f->id, spec, time_in(f->note, "created_at", s->now_ms));
        snprintf(j->owner, sizeof(j->owner), "%s", js_string(js_get(f->note, "owner"), ""));
        snprintf(j->trace, sizeof(j->trace), "%s", js_string(js_get(f->note, "traceparent"), ""));
        snprintf(j->cloned_from, sizeof(j->cloned_from), "%s",
                 js_string(js_get(f->note, "cloned_from"), ""));
        job_forget_needs(j); /* they are over */
    }
    job_free(spec);
    problems_free(&p);
    return j;
}

static bool add_job(struct salvage *s, const struct folder *f, struct job *j, struct error *err)
{
    struct store *store = s->daemon->store;

    return store_jobs_add(store, &j, 1, err) && store_arrivals_add(store, s->event++, &j, 1, err) &&
           refs_restore(s->daemon, j->id, js_get(f->note, "uses"), err);
}

/* A job that has no row. That of a sweep is the sweep's to make; what is gone for good has a row of another table. */
static bool bring_back(struct salvage *s, const struct folder *f, struct error *err)
{
    struct job *j = f->note && js_kind(js_get(f->note, "sweep")) == JS_NULL ? make_job(s, f) : NULL;
    bool ok = !j || (add_job(s, f, j, err) && bring_up(s, f, j, err));

    s->found += j != NULL;
    s->left += j == NULL;
    job_destroy(j);
    return ok;
}

static bool look_at(struct salvage *s, const char *id, struct error *err)
{
    struct folder f;
    struct job *j;
    bool ok = true;

    open_folder(s, id, &f);
    if (newest(&f)) {
        j = store_job_get(s->daemon->store, id, err);
        if (j && !is_known(s, &f, j)) {
            ok = bring_up(s, &f, j, err);
            s->found++;
        } else if (!j && err->code == ERR_NOT_FOUND) {
            ok = bring_back(s, &f, err);
        } else if (!j) {
            ok = err->code == ERR_GONE;
        }
        job_destroy(j);
    }
    close_folder(&f);
    return ok;
}

/* -- All of them --------------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order in which they came. */
static bool look_at_all(struct salvage *s, struct error *err)
{
    char *path = str_path(s->daemon->state_dir, "jobs");
    VEC(char *) ids = {0};
    DIR *dir = opendir(path);
    bool ok = dir || errno == ENOENT || err_set(err, ERR_IO, "%s: %s", path, strerror(errno));

    for (struct dirent *e; dir && (e = readdir(dir));)
        if (id_valid(e->d_name))
            vec_push(&ids, str_dup(e->d_name));
    if (dir)
        closedir(dir);
    if (ids.n)
        qsort(ids.at, ids.n, sizeof(*ids.at), by_id);
    for (size_t i = 0; i < ids.n; i++) {
        ok = ok && look_at(s, ids.at[i], err);
        free(ids.at[i]);
    }
    vec_free(&ids);
    free(path);
    return ok;
}

bool salvage_run(struct daemon *d, struct error *err)
{
    struct salvage s = {.daemon = d, .now_ms = clock_wall_ms()};
    bool ok;

    if (!store_recovered(d->store, &s.copied_ms, err))
        return false;
    if (!s.copied_ms)
        return true;
    ok = store_begin(d->store, err) && store_first_event_id(d->store, &s.event, err) &&
         look_at_all(&s, err) && store_reserve_events(d->store, s.event, err) &&
         store_set_recovered(d->store, err) && store_commit(d->store, err);
    if (!ok) {
        store_rollback(d->store);
        return false;
    }
    backup_outdated();
    log_warn("the folders of jobs were looked through jobs=%zu left_alone=%zu", s.found, s.left);
    return true;
}
