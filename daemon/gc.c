#include "daemon/gc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/soon.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    BATCH = 64 /* items of a transaction, or of one piece of work */
};

enum fate {
    FATE_SKIPPED,
    FATE_REMOVED,
    FATE_FAILED
};

/* A job that plans up to this one leave. */
struct spared {
    char job[JOB_ID_SIZE];
    int64_t number;
};

struct gc {
    struct daemon *daemon;
    int64_t plans; /* begun so far */
    VEC(struct spared) spared;
    struct soon turn;
    uv_work_t work;
    bool going;
    struct gc_plan *kept, *plan; /* plan: of the run that goes on */
    size_t at, end;              /* the items that the other thread has */
    enum fate fates[BATCH];
    struct gc_outcome outcome;
    void (*done)(const struct gc_outcome *o, void *arg);
    void *done_arg;
    /* Of a run that the daemon makes by itself: */
    struct gc_rules rules;
    struct gc_plan *fresh;
    struct error err;
};

static void count(struct gc *g, const struct gc_item *i, enum fate fate)
{
    g->outcome.skipped += fate == FATE_SKIPPED;
    g->outcome.failed += fate == FATE_FAILED;
    g->outcome.removed += fate == FATE_REMOVED;
    g->outcome.bytes += fate == FATE_REMOVED ? i->bytes : 0;
}

/* -- The end ------------------------------------------------------------------------------------------ */

static void finish(void *arg)
{
    struct gc *g = arg;
    void (*done)(const struct gc_outcome *o, void *arg) = g->done;

    log_info("garbage collected plan=%s removed=%" PRId64 " bytes=%" PRId64 " skipped=%" PRId64
             " failed=%" PRId64 "%s",
             g->outcome.plan, g->outcome.removed, g->outcome.bytes, g->outcome.skipped,
             g->outcome.failed, g->outcome.stopped ? "; the daemon ends before all of it" : "");
    gc_plan_free(g->plan);
    g->plan = NULL;
    g->going = false;
    if (done)
        done(&g->outcome, g->done_arg);
}

static void stop_early(struct gc *g)
{
    g->outcome.stopped = true;
    finish(g);
}

/* -- Jobs --------------------------------------------------------------------------------------------- */

static struct spared *find_spared(struct gc *g, const char *job)
{
    for (size_t i = 0; i < g->spared.n; i++)
        if (strcmp(g->spared.at[i].job, job) == 0)
            return &g->spared.at[i];
    return NULL;
}

static void spare(struct gc *g, const char *job)
{
    struct spared one = {.number = g->plans}, *known = find_spared(g, job);

    snprintf(one.job, sizeof(one.job), "%s", job);
    if (known)
        *known = one;
    else
        vec_push(&g->spared, one);
}

void gc_spare(struct daemon *d, const struct job *j)
{
    spare(d->gc, j->id);
    if (j->origin.sweep[0])
        spare(d->gc, j->origin.sweep);
}

int64_t gc_next_number(struct daemon *d)
{
    return ++d->gc->plans;
}

static bool is_spared(struct gc *g, const char *job)
{
    const struct spared *found = find_spared(g, job);

    return found && found->number >= g->plan->number;
}

/* One that was taken up again has another end. */
static struct job *look(struct gc *g, const struct gc_item *i, const struct named *n,
                        struct error *err)
{
    struct job *j = purge_look(g->daemon, i->name, n, err);
    const bool spared = is_spared(g, i->name);

    if (!j || (j->finished_ms == i->stamp_ms && !spared))
        return j;
    job_destroy(j);
    err_set(err, ERR_CONFLICT,
            spared ? "a checkpoint of job %s was pinned since" : "job %s has run again since",
            i->name);
    return NULL;
}

/* NULL: it is left alone, or *failed. */
static struct job *remove_rows(struct gc *g, const struct gc_item *i, const struct named *n,
                               bool *failed, struct error *err)
{
    struct job *j = look(g, i, n, err);

    if (!j) {
        *failed = err->code != ERR_CONFLICT && err->code != ERR_GONE && err->code != ERR_NOT_FOUND;
        return NULL;
    }
    *failed = !purge_store(g->daemon, j, g->plan->id, err);
    if (!*failed)
        return j;
    job_destroy(j);
    return NULL;
}

/* Together or not at all. */
static void remove_jobs(struct gc *g)
{
    struct daemon *d = g->daemon;
    struct job *jobs[BATCH] = {NULL};
    const size_t n = g->end - g->at;
    struct named named;
    struct error err = {0};
    bool failed;

    named_take(d, &named);
    failed = !store_begin(d->store, &err);
    for (size_t i = 0; !failed && i < n; i++)
        jobs[i] = remove_rows(g, &g->plan->items.at[g->at + i], &named, &failed, &err);
    failed = failed || !store_commit(d->store, &err);
    if (failed) {
        store_rollback(d->store);
        log_error("old jobs cannot be removed yet error=\"%s\"", err.msg);
    }
    for (size_t i = 0; i < n; i++) {
        count(g, &g->plan->items.at[g->at + i],
              failed    ? FATE_FAILED
              : jobs[i] ? FATE_REMOVED
                        : FATE_SKIPPED);
        if (jobs[i] && !failed)
            purge_stored(d, jobs[i]);
        job_destroy(jobs[i]);
    }
    named_free(&named);
    g->at = g->end;
    soon_call(&g->turn);
}

/* -- Files -------------------------------------------------------------------------------------------- */

static void remove_files(uv_work_t *w)
{
    struct gc *g = w->data;
    int state = open(g->daemon->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct error err = {0};

    for (size_t i = g->at; i < g->end; i++) {
        enum fate *fate = &g->fates[i - g->at];

        if (*fate == FATE_SKIPPED)
            continue;
        if (state >= 0 && gc_item_remove(state, &g->plan->items.at[i], &err))
            continue;
        *fate = state >= 0 && (err.code == ERR_CONFLICT || err.code == ERR_NOT_FOUND) ? FATE_SKIPPED
                                                                                      : FATE_FAILED;
        if (*fate == FATE_FAILED)
            log_error("something cannot be removed yet error=\"%s\"", err.msg);
    }
    if (state >= 0)
        close(state);
}

static void on_files_removed(uv_work_t *w, int status)
{
    struct gc *g = w->data;

    (void)status;
    for (size_t i = g->at; i < g->end; i++)
        count(g, &g->plan->items.at[i], g->fates[i - g->at]);
    g->at = g->end;
    if (g->daemon->stopping)
        stop_early(g);
    else
        soon_call(&g->turn);
}

/* Something in the folder of a job that goes on by now, or that another one names by now. */
static bool is_taken_up(const struct daemon *d, const struct gc_item *i, const struct named *n)
{
    char id[JOB_ID_SIZE];

    if (!str_starts(i->name, "jobs/"))
        return false;
    snprintf(id, sizeof(id), "%s", i->name + strlen("jobs/"));
    return daemon_active(d, id) || named_by(n, id);
}

static void begin_files(struct gc *g)
{
    struct named named;

    named_take(g->daemon, &named);
    for (size_t i = g->at; i < g->end; i++)
        g->fates[i - g->at] =
            is_taken_up(g->daemon, &g->plan->items.at[i], &named) ? FATE_SKIPPED : FATE_REMOVED;
    named_free(&named);
    g->work.data = g;
    uv_queue_work(&g->daemon->loop, &g->work, remove_files, on_files_removed);
}

/* -- A run -------------------------------------------------------------------------------------------- */

/* Some items of one sort: jobs, or files. */
static void take_batch(struct gc *g)
{
    const struct gc_item *items = g->plan->items.at;

    g->end = g->at;
    while (g->end < g->plan->items.n && g->end - g->at < BATCH &&
           (items[g->end].kind == GC_JOB) == (items[g->at].kind == GC_JOB))
        g->end++;
}

static void on_turn(void *arg)
{
    struct gc *g = arg;

    if (g->daemon->stopping || g->daemon->broken) {
        stop_early(g);
    } else if (g->at == g->plan->items.n) {
        purge_when_idle(g->daemon, finish, g);
    } else {
        take_batch(g);
        if (g->plan->items.at[g->at].kind == GC_JOB)
            remove_jobs(g);
        else
            begin_files(g);
    }
}

const struct gc_plan *gc_keep(struct daemon *d, struct gc_plan *take_plan)
{
    gc_plan_free(d->gc->kept);
    d->gc->kept = take_plan;
    return take_plan;
}

static void begin(struct gc *g, struct gc_plan *take_plan)
{
    g->plan = take_plan;
    g->going = true;
    g->at = g->end = 0;
    g->outcome = (struct gc_outcome){.removed = 0};
    memcpy(g->outcome.plan, take_plan->id, sizeof(g->outcome.plan));
    soon_call(&g->turn);
}

static bool note(struct daemon *d, bool (*begun)(void *arg, struct error *err), void *arg,
                 struct error *err)
{
    bool ok = store_begin(d->store, err) && begun(arg, err) && store_commit(d->store, err);

    if (!ok)
        store_rollback(d->store);
    return ok;
}

bool gc_run(struct daemon *d, const char *plan, bool (*begun)(void *arg, struct error *err),
            void (*done)(const struct gc_outcome *o, void *arg), void *arg, struct error *err)
{
    struct gc *g = d->gc;
    struct gc_plan *kept = g->kept;

    if (g->going)
        return err_set(err, ERR_CONFLICT, "a collection goes on already");
    if (!kept || strcmp(kept->id, plan) != 0)
        return err_set(err, ERR_NOT_FOUND,
                       "\"%.40s\" is not the plan that was made last; make one anew", plan);
    if (begun && !note(d, begun, arg, err))
        return false;
    g->kept = NULL;
    g->done = done;
    g->done_arg = arg;
    begin(g, kept);
    return true;
}

/* -- By itself ---------------------------------------------------------------------------------------- */

static void make_plan(uv_work_t *w)
{
    struct gc *g = w->data;

    g->fresh = gc_plan_make(&g->rules, &g->err);
}

static void on_plan(uv_work_t *w, int status)
{
    struct gc *g = w->data;
    struct gc_plan *p = g->fresh;

    (void)status;
    g->fresh = NULL;
    g->going = false;
    gc_rules_free(&g->rules);
    if (!p)
        log_error("no plan of what is to be removed error=\"%s\"", g->err.msg);
    else if (!g->daemon->stopping && p->items.n)
        begin(g, p);
    else
        gc_plan_free(p);
}

void gc_hourly(struct daemon *d)
{
    struct gc *g = d->gc;

    if (!d->settings.retention_days || g->going)
        return;
    g->going = true;
    g->done = NULL;
    g->work.data = g;
    gc_rules_take(d, -1, &g->rules);
    uv_queue_work(&d->loop, &g->work, make_plan, on_plan);
}

struct gc *gc_open(struct daemon *d)
{
    struct gc *g = NEW(struct gc);

    g->daemon = d;
    soon_init(&g->turn, &d->loop, on_turn, g);
    return g;
}

void gc_close(struct gc *g)
{
    if (!g)
        return;
    gc_plan_free(g->kept);
    gc_plan_free(g->plan);
    vec_free(&g->spared);
    free(g);
}
