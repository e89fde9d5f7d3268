#include "daemon/purge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/lifecycle.h"
#include "daemon/soon.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/base/tree.h"

enum {
    BATCH = 64,   /* jobs that are removed in one transaction, or by one piece of work */
    POINTS = 5000 /* of a job, in one turn of the loop */
};

struct id_list {
    char ids[BATCH][JOB_ID_SIZE];
    size_t n;
};

struct victim {
    struct purged was;
    bool failed;
    struct error err;
};

/* Who wants to know when nothing is left to be done. */
struct waiter {
    void (*fn)(void *arg);
    void *arg;
};

struct purge {
    struct daemon *daemon;
    char *jobs; /* STATE/jobs */
    struct soon turn;
    uv_work_t work;
    bool going, again; /* again: a job that comes before `after` may have been removed since */
    int64_t after;     /* seq: those up to it have had their turn */
    VEC(struct victim) batch;
    size_t at; /* of the batch: those before it are done */
    VEC(struct waiter) waiters;
};

/* -- Who is named ------------------------------------------------------------------------------------- */

static void add_named(struct named *n, const char *id, const char *by)
{
    struct named_id one;

    snprintf(one.id, sizeof(one.id), "%s", id);
    snprintf(one.by, sizeof(one.by), "%s", by);
    vec_push(&n->ids, one);
}

static void read_spec(struct named *n, const struct job *j)
{
    char id[JOB_ID_SIZE];

    for (const char *at = j->spec; (at = strstr(at, "job_")); at++) {
        snprintf(id, sizeof(id), "%s", at);
        if (id_valid(id))
            add_named(n, id, j->id);
    }
}

static int by_id(const void *a, const void *b)
{
    const struct named_id *x = a, *y = b;

    return strcmp(x->id, y->id);
}

static void sort(struct named *n)
{
    size_t kept = 0;

    if (n->ids.n)
        qsort(n->ids.at, n->ids.n, sizeof(*n->ids.at), by_id);
    for (size_t i = 0; i < n->ids.n; i++)
        if (!kept || strcmp(n->ids.at[kept - 1].id, n->ids.at[i].id) != 0)
            n->ids.at[kept++] = n->ids.at[i];
    n->ids.n = kept;
}

void named_take(struct daemon *d, struct named *n)
{
    char sweep[JOB_ID_SIZE];
    size_t found;

    *n = (struct named){0};
    for (size_t i = 0; i < d->active.n; i++)
        read_spec(n, d->active.at[i]->job);
    sort(n);
    found = n->ids.n;
    for (size_t i = 0; i < found; i++)
        if (store_sweep_of(d->store, n->ids.at[i].id, sweep, NULL) && sweep[0])
            add_named(n, sweep, n->ids.at[i].by);
    sort(n);
}

void named_free(struct named *n)
{
    vec_free(&n->ids);
}

const char *named_by(const struct named *n, const char *id)
{
    const struct named_id *found;
    struct named_id key;

    if (!n->ids.n)
        return NULL;
    snprintf(key.id, sizeof(key.id), "%s", id);
    found = bsearch(&key, n->ids.at, n->ids.n, sizeof(key), by_id);
    return found ? found->by : NULL;
}

/* -- Rows --------------------------------------------------------------------------------------------- */

/* A sweep may be over before a job of it that was run again by itself. */
static bool parts_are_over(const struct daemon *d, const struct job *j, struct error *err)
{
    for (size_t i = 0; job_is_sweep(j) && i < d->active.n; i++) {
        const struct job *part = d->active.at[i]->job;

        if (strcmp(part->origin.sweep, j->id) == 0)
            return err_set(err, ERR_CONFLICT, "job %s of sweep %s is %s; it has to be over, too",
                           part->id, j->id, job_state_name(part->state));
    }
    return true;
}

static bool is_free(const struct daemon *d, const struct job *j, const struct named *n,
                    struct error *err)
{
    const char *by = named_by(n, j->id);
    const struct active *a = by ? daemon_active(d, by) : NULL;
    char name[LIFECYCLE_NAME];

    if (!a)
        return true;
    lifecycle_name_for(j, a->job, name);
    return err_set(err, ERR_CONFLICT, "%s, which is not over, names job %s in its spec", name,
                   j->id);
}

static bool may_go(const struct daemon *d, const struct job *j, const struct named *n,
                   struct error *err)
{
    if (!job_is_final(j->state))
        return err_set(err, ERR_CONFLICT, "job %s is %s; only a job that is over can be removed",
                       j->id, job_state_name(j->state));
    if (j->origin.sweep[0])
        return err_set(err, ERR_CONFLICT,
                       "job %s is a part of sweep %s, and is removed together with it", j->id,
                       j->origin.sweep);
    return parts_are_over(d, j, err) && is_free(d, j, n, err);
}

struct job *purge_look(struct daemon *d, const char *id, const struct named *n, struct error *err)
{
    const struct active *a = daemon_active(d, id);
    struct job *j;

    if (a) {
        may_go(d, a->job, n, err);
        return NULL;
    }
    j = store_job_get(d->store, id, err);
    if (j && may_go(d, j, n, err))
        return j;
    job_destroy(j);
    return NULL;
}

bool purge_store(struct daemon *d, const struct job *j, const char *cause, struct error *err)
{
    struct purged p = {
        .seq = j->seq, .state = j->state, .damaged = job_is_damaged(j), .at_ms = clock_wall_ms()};

    memcpy(p.id, j->id, sizeof(p.id));
    memcpy(p.name, j->name, sizeof(p.name));
    snprintf(p.cause, sizeof(p.cause), "%s", cause);
    return store_purge(d->store, &p, err);
}

static void tell(struct daemon *d, const struct job *j)
{
    struct json *data = js_new_object();

    js_set(data, "id", js_new_string(j->id));
    js_set(data, "name", js_new_string(j->name));
    js_set(data, "state", js_new_string(job_state_name(j->state)));
    lifecycle_tell(d, "purged", j, data);
}

/* -- The rest ----------------------------------------------------------------------------------------- */

static void start(struct purge *p)
{
    p->again = true;
    if (p->going)
        return;
    p->going = true;
    soon_call(&p->turn);
}

void purge_stored(struct daemon *d, const struct job *j)
{
    log_info("job removed job=%s name=\"%s\" state=%s", j->id, j->name, job_state_name(j->state));
    tell(d, j);
    start(d->purge);
}

void purge_hourly(struct daemon *d)
{
    start(d->purge);
}

static void stop(struct purge *p)
{
    VEC(struct waiter) told = {.at = p->waiters.at, .n = p->waiters.n, .cap = p->waiters.cap};

    p->going = false;
    vec_free(&p->batch);
    p->waiters.at = NULL; /* whoever is told may ask again */
    p->waiters.n = p->waiters.cap = 0;
    for (size_t i = 0; i < told.n; i++)
        told.at[i].fn(told.at[i].arg);
    vec_free(&told);
}

void purge_when_idle(struct daemon *d, void (*fn)(void *arg), void *arg)
{
    vec_push(&d->purge->waiters, (struct waiter){fn, arg});
    if (!d->purge->going)
        stop(d->purge);
}

static void add_victim(const struct purged *was, void *arg)
{
    struct purge *p = arg;
    struct victim v = {.was = *was};

    vec_push(&p->batch, v);
}

/* False: there are none. */
static bool load(struct purge *p)
{
    struct error err;

    if (p->again) {
        p->again = false;
        p->after = 0;
    }
    p->at = p->batch.n = 0;
    if (!store_purged_remains(p->daemon->store, p->after, BATCH, add_victim, p, &err))
        log_error("what remains of removed jobs cannot be looked up error=\"%s\"", err.msg);
    return p->batch.n;
}

/* Before the first job has run there is no folder of jobs. */
static void remove_folder(int jobs, int why, struct victim *v)
{
    if (jobs >= 0)
        v->failed = !tree_remove(jobs, v->was.id, &v->err);
    else if (why != ENOENT)
        v->failed = !err_set(&v->err, ERR_IO, "the folder of jobs: %s", strerror(why));
}

static void remove_folders(uv_work_t *w)
{
    struct purge *p = w->data;
    int jobs = open(p->jobs, O_RDONLY | O_DIRECTORY | O_CLOEXEC), why = errno;

    for (size_t i = 0; i < p->batch.n; i++)
        remove_folder(jobs, why, &p->batch.at[i]);
    if (jobs >= 0)
        close(jobs);
}

static void on_removed(uv_work_t *w, int status)
{
    struct purge *p = w->data;

    (void)status;
    if (p->daemon->stopping)
        stop(p);
    else
        soon_call(&p->turn);
}

static void add_id(const char *id, int64_t index, void *arg)
{
    struct id_list *l = arg;

    (void)index;
    snprintf(l->ids[l->n++], JOB_ID_SIZE, "%s", id);
}

static bool remove_child(struct daemon *d, const char *id, const char *cause, struct error *err)
{
    struct job *j = store_job_get(d->store, id, err);
    bool ok = j && purge_store(d, j, cause, err);

    job_destroy(j);
    return ok;
}

/* Some jobs of a sweep that was removed; *n says how many. They came after it, and their turn comes. */
static bool remove_children(struct daemon *d, const struct purged *sweep, size_t *n,
                            struct error *err)
{
    struct id_list list = {.n = 0};
    bool ok = store_sweep_ids(d->store, sweep->id, -1, BATCH, add_id, &list, err);

    *n = list.n;
    if (!ok || !list.n)
        return ok;
    ok = store_begin(d->store, err);
    for (size_t i = 0; ok && i < list.n; i++)
        ok = remove_child(d, list.ids[i], sweep->cause, err);
    if (ok && store_commit(d->store, err)) {
        d->untold += list.n;
        return true;
    }
    store_rollback(d->store);
    return false;
}

/* A part of what is left of one; *more: there is more. */
static bool settle_part(struct purge *p, const struct victim *v, bool *more, struct error *err)
{
    size_t children = 0;
    bool ok = store_metrics_trim(p->daemon->store, v->was.id, POINTS, more, err) &&
              (*more || remove_children(p->daemon, &v->was, &children, err));

    *more = ok && (*more || children);
    return ok;
}

/* One that cannot be done stays for the next time. */
static void settle(struct purge *p)
{
    struct victim *v = &p->batch.at[p->at];
    bool more = false;

    if (!v->failed)
        v->failed = !settle_part(p, v, &more, &v->err);
    if (v->failed)
        log_error("a removed job cannot be cleared away yet job=%s error=\"%s\"", v->was.id,
                  v->err.msg);
    p->at += !more;
}

static void mark_done(struct purge *p)
{
    struct store *s = p->daemon->store;
    struct error err;
    bool ok = store_begin(s, &err);

    for (size_t i = 0; ok && i < p->batch.n; i++)
        ok = p->batch.at[i].failed || store_purged_done(s, p->batch.at[i].was.seq, &err);
    if (!ok || !store_commit(s, &err)) {
        store_rollback(s);
        log_error("that removed jobs are cleared away is not noted yet error=\"%s\"", err.msg);
    }
    p->after = p->batch.at[p->batch.n - 1].was.seq;
    p->batch.n = 0;
}

static void on_turn(void *arg)
{
    struct purge *p = arg;

    if (p->daemon->stopping || p->daemon->broken) {
        stop(p);
    } else if (p->at < p->batch.n) {
        settle(p);
        soon_call(&p->turn);
    } else if (p->batch.n) {
        mark_done(p);
        soon_call(&p->turn);
    } else if (load(p)) {
        p->work.data = p;
        uv_queue_work(&p->daemon->loop, &p->work, remove_folders, on_removed);
    } else {
        stop(p);
    }
}

struct purge *purge_open(struct daemon *d)
{
    struct purge *p = NEW(struct purge);

    p->daemon = d;
    p->jobs = str_path(d->state_dir, "jobs");
    soon_init(&p->turn, &d->loop, on_turn, p);
    start(p);
    return p;
}

void purge_close(struct purge *p)
{
    if (!p)
        return;
    vec_free(&p->batch);
    vec_free(&p->waiters);
    free(p->jobs);
    free(p);
}
