#include "daemon/sweeps.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/draft.h"
#include "daemon/lifecycle.h"
#include "daemon/needs.h"
#include "daemon/projects.h"
#include "daemon/refs.h"
#include "daemon/sched.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"

void sweeps_note(struct daemon *d, const struct job *j, enum job_state before)
{
    struct active *a = j->origin.sweep[0] ? daemon_active(d, j->origin.sweep) : NULL;

    if (!a || j->state == before)
        return;
    if (before != JOB_STATE_COUNT)
        a->job->sweep.made[before]--;
    a->job->sweep.made[j->state]++;
    job_sweep_count(a->job);
    lifecycle_tell_text(d, "state", a->job, job_text(a->job, false));
    sched_soon(d);
}

bool sweeps_take_back(struct daemon *d, struct job *j, struct error *err)
{
    struct active *a = j->origin.sweep[0] ? daemon_active(d, j->origin.sweep) : NULL;

    if (j->origin.sweep[0] && (!a || a->job->cancel_requested))
        return err_set(err, ERR_CONFLICT,
                       "job %s belongs to sweep %s, which is over: run the sweep again", j->id,
                       j->origin.sweep);
    if (a)
        j->origin.round = a->job->attempt;
    return true;
}

/* -- Making jobs ---------------------------------------------------------------------------------- */

static char *place_text(const struct sweep *s, int64_t k)
{
    struct json *place = js_new_object();
    char *text;

    js_set(place, "point", js_new_int(k / sweep_seeds(s)));
    js_set(place, "values", sweep_values(s, k / sweep_seeds(s)));
    js_set(place, "seed", sweep_seed(s, k));
    text = js_text(place, JS_COMPACT);
    js_free(place);
    return text;
}

/* The spec of job k. What is wrong with it shows only now if it is the combination of values. */
static JobSpec *read_spec(struct daemon *d, const struct sweep *s, int64_t k, struct error *why)
{
    struct json *j = sweep_spec(s, k, why);
    struct problems p = {0};
    JobSpec *spec;

    /* When it may begin is the sweep's. */
    js_delete(j, "hold");
    js_delete(j, "depends_on");
    if (j)
        refs_pin(d, j, &p); /* what its values name */
    spec = job_from_json(j ? j : sweep_base(s), &p);
    draft_check(spec, &p, &(struct draft_client){.daemon = d});
    if (j)
        problems_none(&p, why);
    problems_free(&p);
    js_free(j);
    return spec;
}

/* Job k of a sweep, not stored yet. One that cannot be run has failed. */
static struct job *make_job(struct daemon *d, const struct job *parent, const struct sweep *s,
                            int64_t k)
{
    struct reason invalid;
    struct error why = {0};
    JobSpec *spec = read_spec(d, s, k, &why);
    struct job *j = job_new("", spec, clock_wall_ms());

    memcpy(j->origin.sweep, parent->id, sizeof(j->origin.sweep));
    memcpy(j->trace, parent->trace, sizeof(j->trace));
    memcpy(j->owner, parent->owner, sizeof(j->owner));
    j->origin.index = k;
    j->origin.round = parent->attempt;
    j->origin.place = place_text(s, k);
    if (why.code) {
        j->state = JOB_FAILED;
        j->finished_ms = j->created_ms;
        reason_set(&invalid, "invalid", "%s", why.msg);
        job_explain(j, &invalid);
    }
    job_free(spec);
    return j;
}

static struct sweep *open_sweep(const struct job *parent, struct error *err)
{
    struct json *spec = js_parse(parent->spec, strlen(parent->spec), err);
    struct problems p = {0};
    struct sweep *s = spec ? sweep_new(spec, &p) : NULL;

    if (spec && !s)
        problems_none(&p, err);
    problems_free(&p);
    js_free(spec);
    return s;
}

static bool make_next(struct daemon *d, const struct job *parent, struct error *err)
{
    struct sweep *s = open_sweep(parent, err);
    bool ok = s && lifecycle_submit(d, make_job(d, parent, s, job_sweep_made(parent)), err);

    sweep_free(s);
    return ok;
}

/* Makes the spec of a job anew that could not be run as it was made: what was wrong with it may be right by
 * now. ERR_CONFLICT: it is not. */
static bool remake(struct daemon *d, const struct job *parent, struct job *j, struct error *err)
{
    struct sweep *s = open_sweep(parent, err);
    struct error why = {0};
    JobSpec *spec = s ? read_spec(d, s, j->origin.index, &why) : NULL;
    struct job *fresh = spec ? job_new(j->id, spec, j->created_ms) : NULL;
    bool ok = fresh && !why.code;

    if (fresh && why.code)
        err_set(err, ERR_CONFLICT, "%s", why.msg);
    if (ok)
        ok = store_begin(d->store, err) && store_sweep_spec(d->store, j->id, fresh->spec, err) &&
             refs_note(d, fresh, err) && store_commit(d->store, err);
    if (!ok && !why.code)
        store_rollback(d->store);
    job_destroy(fresh);
    job_free(spec);
    sweep_free(s);
    return ok;
}

static bool run_again(struct daemon *d, const struct job *parent, const char *id, struct error *err)
{
    struct job *j = store_job_get(d->store, id, err);
    bool ok =
        j && (j->attempt || strcmp(j->reason.code, "invalid") != 0 || remake(d, parent, j, err));

    job_destroy(j);
    return ok && lifecycle_retry(d, id, err);
}

/* A job to be done again. One that cannot be, because what it needs is gone, stays as it is. */
static bool redo(struct daemon *d, const struct job *parent, const char *id, struct error *err)
{
    if (run_again(d, parent, id, err))
        return true;
    if (err->code != ERR_CONFLICT && err->code != ERR_NOT_FOUND)
        return false;
    log_warn("a job of a sweep is not run again job=%s error=\"%s\"", id, err->msg);
    return store_sweep_skip(d->store, id, parent->attempt, err);
}

/* Puts one more job into the queue: of those to be done again, else a new one, if there is one. */
static bool queue_one(struct daemon *d, struct active *a, struct error *err)
{
    char id[JOB_ID_SIZE] = "";

    if (!a->all_redone && !store_sweep_redo(d->store, a->job, id, err))
        return false;
    if (id[0])
        return redo(d, a->job, id, err);
    a->all_redone = true;
    return job_sweep_made(a->job) == a->job->sweep.total || make_next(d, a->job, err);
}

static bool has_room(const struct daemon *d, const struct job *j)
{
    return !d->paused && !j->hold_requested && projects_has_room(d, j->project, NULL) &&
           !j->sweep.made[JOB_QUEUED] &&
           (!j->sweep.parallel || job_sweep_going(j) < j->sweep.parallel);
}

/* -- The end -------------------------------------------------------------------------------------- */

static bool end(struct daemon *d, struct active *a, struct error *err)
{
    const struct job_sweep *s = &a->job->sweep;
    struct reason why;

    if (s->made[JOB_SUCCEEDED] == s->total)
        return lifecycle_apply(d, a, EV_DONE, NULL, err);
    if (a->job->cancel_requested) {
        reason_set(&why, "cancelled", "%s", "cancelled by a user");
        return lifecycle_apply(d, a, EV_STOPPED, &why, err);
    }
    reason_set(&why, "jobs_failed",
               "of %" PRId64 " jobs %" PRId64 " failed and %" PRId64 " were cancelled", s->total,
               s->made[JOB_FAILED], s->made[JOB_CANCELLED]);
    return lifecycle_apply(d, a, EV_BAD, &why, err);
}

/* From the end, because what is over leaves the list. */
static bool cancel_jobs(struct daemon *d, const struct job *parent, struct error *err)
{
    bool ok = true;

    for (size_t i = d->active.n; i-- > 0;) {
        const struct job *j = d->active.at[i]->job;

        if (strcmp(j->origin.sweep, parent->id) == 0)
            ok &= lifecycle_cancel(d, j->id, parent->cancel_grace_s, err);
    }
    return ok;
}

/* -- The pass ------------------------------------------------------------------------------------- */

static bool advance(struct daemon *d, struct active *a, struct error *err)
{
    const struct job *j = a->job;
    bool more = !j->cancel_requested && (!a->all_redone || job_sweep_made(j) < j->sweep.total);

    if (j->state == JOB_QUEUED)
        return d->paused || j->hold_requested || needs_verdict(j) != NEEDS_MET ||
               lifecycle_apply(d, a, EV_BEGIN, NULL, err);
    if (more)
        return !has_room(d, j) || queue_one(d, a, err);
    if (!job_sweep_going(j))
        return end(d, a, err);
    return !j->cancel_requested || cancel_jobs(d, j, err);
}

void sweeps_pass(struct daemon *d)
{
    VEC(struct active *) sweeps = {0};
    struct error err = {0};

    /* Only its own end takes one of them out of the list. */
    for (size_t i = 0; i < d->busy.n; i++)
        if (job_is_sweep(d->busy.at[i]->job))
            vec_push(&sweeps, d->busy.at[i]);
    for (size_t i = 0; i < sweeps.n; i++)
        if (!advance(d, sweeps.at[i], &err))
            log_error("a sweep cannot go on yet error=\"%s\"", err.msg);
    vec_free(&sweeps);
}
