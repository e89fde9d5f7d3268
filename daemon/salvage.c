#include "daemon/salvage.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/attempt.h"
#include "daemon/ids.h"
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
    ABOUT_MAX = 8 << 20,
    TOKEN_MAX = 256
};

struct salvage {
    struct daemon *daemon;
    uint64_t event; /* the next one's id */
    int64_t now_ms;
    VEC(struct job *) found; /* owned */
    size_t left;             /* folders of which nothing could be made */
};

bool salvage_keep(const struct job *j, const char *dir, struct error *err)
{
    char *path = str_path(dir, "job.json"), *text = job_text(j, true);
    bool ok = file_replace(path, text, strlen(text), 0600, err);

    free(text);
    free(path);
    return ok;
}

/* -- Folders --------------------------------------------------------------------------------------- */

static char *attempt_folder(const struct salvage *s, const char *id, int64_t number)
{
    return str_fmt("%s/jobs/%s/attempts/%" PRId64, s->daemon->state_dir, id, number);
}

static int64_t newest_attempt(const struct salvage *s, const char *id)
{
    char *folder = daemon_job_path(s->daemon, id, "attempts");
    DIR *dir = opendir(folder);
    int64_t number, newest = 0;

    for (struct dirent *e; dir && (e = readdir(dir));)
        if (str_int(e->d_name, 1, INT32_MAX, &number) && number > newest)
            newest = number;
    if (dir)
        closedir(dir);
    free(folder);
    return newest;
}

/* The job as it was when that attempt began; NULL: nobody kept it. js_free */
static struct json *read_about(const struct salvage *s, const char *id, int64_t number)
{
    char *folder = attempt_folder(s, id, number), *path = str_path(folder, "job.json");
    struct json *about = js_read_file(path, ABOUT_MAX, NULL);

    free(path);
    free(folder);
    return about;
}

/* What rank 0 shows to come back to us. */
static bool read_token(const char *folder, char hex[SHA256_HEX], struct error *err)
{
    char *path = str_path(folder, "token");
    struct buf token = buf_new(TOKEN_MAX);
    bool ok = file_read(path, &token, err);

    if (ok)
        sha256_of(buf_text(&token), token.len, hex);
    buf_free(&token);
    free(path);
    return ok;
}

static int64_t time_in(const struct json *about, const char *name, int64_t otherwise)
{
    int64_t ms;

    return clock_parse(js_string(js_get(about, name), ""), &ms) ? ms : otherwise;
}

/* -- Rows ------------------------------------------------------------------------------------------ */

static int64_t began_at(const struct salvage *s, const char *folder)
{
    char *path = str_path(folder, "attempt.json");
    struct json *owner = js_read_file(path, ABOUT_MAX, NULL);
    int64_t ms = time_in(owner, "started_at", s->now_ms);

    js_free(owner);
    free(path);
    return ms;
}

/* An attempt that is not in the copy. */
static bool add_attempt(struct salvage *s, const struct job *j, int64_t number, struct error *err)
{
    char *folder = attempt_folder(s, j->id, number), hex[SHA256_HEX] = "";
    struct json *about = read_about(s, j->id, number);
    const char *placement = js_string(js_get(about, "placement"), "");
    char *here = str_fmt("localhost:%" PRId64, j->ranks);
    bool ok;

    read_token(folder, hex, NULL); /* without one its ranks cannot show who they are, and go on */
    ok = store_attempt_exists(s->daemon->store, j->id, number) ||
         store_attempt_add(s->daemon->store, j->id, number, began_at(s, folder), hex,
                           *placement ? placement : here, err);
    free(here);
    js_free(about);
    free(folder);
    return ok;
}

/* One that was followed by another is over. */
static bool end_attempt(struct salvage *s, const struct job *j, int64_t number, struct error *err)
{
    char *folder = attempt_folder(s, j->id, number);
    struct attempt_exit e;
    bool ok;

    if (!attempt_read_exit(folder, &e, NULL))
        e = (struct attempt_exit){.status = 1, .lost = true};
    if (!e.class && !e.stopped && (e.status || e.lost))
        e.class = FAILURE_INFRA;
    ok = store_attempt_end(s->daemon->store, j->id, number, e.ended_ms ? e.ended_ms : s->now_ms, &e,
                           err);
    free(folder);
    return ok;
}

static void read_failures(struct job *j, const struct json *failures)
{
    for (enum failure f = FAILURE_NONE + 1; f < FAILURE_COUNT; f++)
        j->failures[f] = js_int(js_get(failures, failure_name(f)), 0);
}

/* What had become of the job when its newest attempt began. */
static void take_about(struct job *j, const struct json *about)
{
    const double ran_s = js_real(js_get(about, "ran_s"), 0);

    if (!about)
        return;
    j->ranks = js_int(js_get(about, "ranks"), j->ranks);
    j->hold_requested = js_bool(js_get(about, "hold_requested"), false);
    j->ran_ms = isfinite(ran_s) && ran_s >= 0 && ran_s < INT32_MAX ? (int64_t)(1e3 * ran_s) : 0;
    read_failures(j, js_get(about, "failures"));
}

/* It goes on with an attempt of which the copy knows nothing. */
static bool go_on(struct salvage *s, struct job *j, int64_t newest, const struct json *about,
                  struct error *err)
{
    const int64_t known = j->attempt;
    struct store *store = s->daemon->store;
    struct reason why;
    bool ok = true;

    take_about(j, about);
    for (int64_t n = known + 1; ok && n <= newest; n++)
        ok = add_attempt(s, j, n, err);
    for (int64_t n = known > 0 ? known : 1; ok && n < newest; n++)
        ok = end_attempt(s, j, n, err);
    j->attempt = newest;
    j->attempt_ranks = j->ranks;
    j->resize_requested = j->yield_requested = false;
    j->not_before_ms = j->finished_ms = 0;
    j->started_ms = j->started_ms ? j->started_ms : s->now_ms;
    /* One that was over has been retried since, and a row that is over takes no other way. */
    j->state = JOB_QUEUED;
    ok = ok && store_job_update(store, j, err);
    j->state = JOB_STARTING;
    reason_set(&why, "recovered",
               "found with attempt %" PRId64
               " in its folder, which the copy of state.db does not know",
               newest);
    job_explain(j, &why);
    return ok && store_job_update(store, j, err) &&
           store_event_add(store, s->event++, s->now_ms, j, err);
}

/* A job that came after the copy; NULL: what is kept of it makes none. */
static struct job *make_job(const struct salvage *s, const char *id, const struct json *about)
{
    struct problems p = {0};
    JobSpec *spec = job_from_json(js_get(about, "spec"), &p);
    struct job *j = NULL;

    if (spec && !p.list.n) {
        j = job_new(id, spec, time_in(about, "created_at", s->now_ms));
        j->priority = js_int(js_get(about, "priority"), j->priority);
        snprintf(j->owner, sizeof(j->owner), "%s", js_string(js_get(about, "owner"), ""));
        snprintf(j->trace, sizeof(j->trace), "%s", js_string(js_get(about, "traceparent"), ""));
        snprintf(j->cloned_from, sizeof(j->cloned_from), "%s",
                 js_string(js_get(about, "cloned_from"), ""));
        job_forget_needs(j); /* they are over */
    }
    job_free(spec);
    problems_free(&p);
    return j;
}

static bool add_job(struct salvage *s, struct job *j, struct error *err)
{
    struct store *store = s->daemon->store;

    return store_jobs_add(store, &j, 1, err) && store_arrivals_add(store, s->event++, &j, 1, err) &&
           refs_note(s->daemon, j, err);
}

/* Its row, or a new one; NULL with `ok`: there is nothing to do. */
static struct job *find_job(struct salvage *s, const char *id, int64_t newest,
                            const struct json *about, bool *ok, struct error *err)
{
    struct store *store = s->daemon->store;
    struct job *j = store_job_get(store, id, err);
    struct purged purged;

    *ok = j || err->code == ERR_NOT_FOUND;
    if (j && (j->attempt >= newest || job_is_damaged(j))) {
        job_destroy(j);
        return NULL;
    }
    if (j || !*ok || store_purged_find(store, id, &purged, err))
        return j;
    if (js_kind(js_get(about, "sweep")) == JS_NULL)
        j = make_job(s, id, about);
    if (!j)
        s->left++;
    else if (!(*ok = add_job(s, j, err))) {
        job_destroy(j);
        return NULL;
    }
    return j;
}

static bool look_at(struct salvage *s, const char *id, struct error *err)
{
    const int64_t newest = newest_attempt(s, id);
    struct json *about;
    struct job *j;
    bool ok = true;

    if (!newest)
        return true;
    about = read_about(s, id, newest);
    j = find_job(s, id, newest, about, &ok, err);
    if (j) {
        ok = go_on(s, j, newest, about, err);
        vec_push(&s->found, j);
    }
    js_free(about);
    return ok;
}

/* -- All of them ----------------------------------------------------------------------------------- */

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

static void finish(struct salvage *s, bool stored)
{
    for (size_t i = 0; i < s->found.n; i++) {
        const struct job *j = s->found.at[i];

        if (stored)
            log_warn("a job goes on that the copy does not know so job=%s attempt=%" PRId64, j->id,
                     j->attempt);
        job_destroy(s->found.at[i]);
    }
    vec_free(&s->found);
    if (stored && s->left)
        log_warn("folders of jobs that the copy does not know are left alone folders=%zu", s->left);
}

bool salvage_run(struct daemon *d, struct error *err)
{
    struct salvage s = {.daemon = d, .now_ms = clock_wall_ms()};
    bool recovered, ok;

    if (!store_recovered(d->store, &recovered, err))
        return false;
    if (!recovered)
        return true;
    ok = store_begin(d->store, err) && store_first_event_id(d->store, &s.event, err) &&
         look_at_all(&s, err) && store_reserve_events(d->store, s.event, err) &&
         store_set_recovered(d->store, err) && store_commit(d->store, err);
    if (!ok)
        store_rollback(d->store);
    finish(&s, ok);
    return ok;
}
