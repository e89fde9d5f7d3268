#include "daemon/lifecycle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/attempts.h"
#include "daemon/audit.h"
#include "daemon/courier.h"
#include "daemon/launch.h"
#include "daemon/needs.h"
#include "daemon/projects.h"
#include "daemon/refs.h"
#include "daemon/salvage.h"
#include "daemon/sched.h"
#include "daemon/sweeps.h"
#include "daemon/uplink.h"
#include "daemon/webhooks.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"

void lifecycle_tell(struct daemon *d, const char *kind, const struct job *j, struct json *take_data)
{
    lifecycle_tell_text(d, kind, j, js_text(take_data, JS_COMPACT));
    js_free(take_data);
}

void lifecycle_tell_text(struct daemon *d, const char *kind, const struct job *j, char *take_text)
{
    events_publish(d->events, kind, j->id, j->project, take_text);
    free(take_text);
}

static void tell_state(struct daemon *d, const struct job *j)
{
    lifecycle_tell_text(d, "state", j, job_text(j, false));
    if (job_is_final(j->state))
        lifecycle_tell_text(d, "end", j, job_text(j, false));
    courier_soon(d);
}

/* In the transaction that stores the change: its place in the history, and who is to be told. */
static bool note_change(struct daemon *d, const struct job *j, uint64_t event, int64_t now_ms,
                        struct error *err)
{
    return store_event_add(d->store, event, now_ms, j, err) &&
           deliveries_note(d->store, j, event, now_ms, err);
}

/* What their specs name, and who is to be told of them. */
static bool note_new(struct daemon *d, struct job *const *jobs, size_t n, uint64_t first_event,
                     struct error *err)
{
    bool told, ok = deliveries_wanted(d->store, &told, err);

    for (size_t i = 0; ok && i < n; i++) {
        const struct job *j = jobs[i];

        ok = (job_is_final(j->state) || j->names_none || refs_note(d, j, err)) &&
             (!told || deliveries_note(d->store, j, first_event + i, j->created_ms, err));
    }
    return ok;
}

bool lifecycle_store(struct daemon *d, struct job *const *jobs, size_t n, char last[JOB_ID_SIZE],
                     uint64_t first_event, struct error *err)
{
    if (!projects_have_room(d, jobs, n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!needs_look(d, jobs[i], err))
            return false;
        id_next(last, jobs[i]->created_ms, jobs[i]->id);
        memcpy(last, jobs[i]->id, JOB_ID_SIZE);
    }
    audit_subject(d, jobs[0]->id);
    return store_jobs_add(d->store, jobs, n, err) &&
           store_arrivals_add(d->store, first_event, jobs, n, err) &&
           note_new(d, jobs, n, first_event, err);
}

void lifecycle_admit(struct daemon *d, struct job *take_job, struct buf *log)
{
    struct job *j = take_job;

    d->submissions++;
    log_add(log, LOG_LEVEL_INFO, "job accepted job=%s kind=%s name=\"%s\"%s%s", j->id, j->kind,
            j->name, j->origin.sweep[0] ? " sweep=" : "", j->origin.sweep);
    free(j->written); /* it is on disk */
    j->written = NULL;
    tell_state(d, j);
    sweeps_note(d, j, JOB_STATE_COUNT);
    if (job_is_final(j->state))
        job_destroy(j);
    else
        daemon_add_active(d, j);
    sched_soon(d);
}

bool lifecycle_submit(struct daemon *d, struct job *take_job, struct error *err)
{
    char last[JOB_ID_SIZE];
    struct buf log = buf_new(0);

    if (store_last_job_id(d->store, last, err) && store_begin(d->store, err) &&
        lifecycle_store(d, &take_job, 1, last, events_next_id(d->events), err) &&
        store_commit(d->store, err)) {
        lifecycle_admit(d, take_job, &log);
        log_flush(&log);
        buf_free(&log);
        return true;
    }
    store_rollback(d->store);
    job_destroy(take_job);
    return false;
}

/* The attempt that EV_START opens: its number, and the secret of its rank 0. */
static bool open_attempt(struct daemon *d, struct active *a, int64_t now, struct error *err)
{
    const struct job *j = a->job;
    char token[SECRET_SIZE], hex[SHA256_HEX];

    a->unprepared = !launch_prepare(d, j, token, err);
    if (a->unprepared)
        return false;
    sha256_of(token, strlen(token), hex);
    return store_attempt_add(d->store, j->id, j->attempt, now, hex, j->placement, err);
}

/* The fields that an event changes, beside the state. What it had of result and reason is not released yet. */
static void change(struct job *j, enum job_event event, const struct reason *reason, int64_t now)
{
    if (event != EV_HELLO || !job_is_stopping(j))
        j->reason = reason_kept(reason);
    if (event == EV_BEGIN)
        j->attempt++;
    if (event == EV_START) {
        j->attempt++;
        j->attempt_ranks = j->ranks;
        j->resize_requested = j->yield_requested = false;
        j->yield_for[0] = '\0';
        j->behind = 0;
    }
    if ((event == EV_START || event == EV_BEGIN) && !j->started_ms)
        j->started_ms = now;
    if (event == EV_CANCEL)
        j->cancel_requested = true;
    if (event == EV_RETRY) {
        j->cancel_requested = j->resize_requested = false;
        j->hold_requested = j->yield_requested = false;
        j->yield_for[0] = '\0';
        j->behind = 0;
        memset(j->failures, 0, sizeof(j->failures));
        j->ran_ms = 0;
        j->finished_ms = 0;
        j->result = NULL;
    }
    if (event == EV_RESIZE)
        j->resize_requested = j->resize_requested || j->state != JOB_QUEUED;
    if (event == EV_HOLD || event == EV_RELEASE)
        j->hold_requested = event == EV_HOLD;
    if ((j->hold_requested || j->behind) && j->state == JOB_QUEUED)
        j->resize_requested = false; /* others have what it held: it stands in line again */
    if ((event == EV_HOLD || event == EV_PREEMPT) && !job_is_sweep(j)) /* which has no ranks */
        j->yield_requested = j->yield_requested || j->state != JOB_QUEUED;
    if (event == EV_START || event == EV_RETRY || job_is_final(j->state))
        j->not_before_ms = 0;
    if (event != EV_RESIZE)
        j->planned_ms = 0;
    if (job_is_final(j->state))
        j->finished_ms = now;
    if (event != EV_HELLO)
        j->progress.eta_s = j->progress.images_per_s = -1;
}

static bool store_change(struct daemon *d, struct active *a, enum job_event event, int64_t now,
                         struct error *err)
{
    const struct job *j = a->job;
    bool ok = store_begin(d->store, err) && store_job_update(d->store, j, err) &&
              (event != EV_START || open_attempt(d, a, now, err)) &&
              (!a->used_slot_ms || projects_charge(d, a->project, a->used_slot_ms, now, err)) &&
              note_change(d, j, events_next_id(d->events), now, err) && store_commit(d->store, err);

    if (!ok)
        store_rollback(d->store);
    return ok;
}

static void act(struct daemon *d, struct active *a, enum job_action action)
{
    if (a && job_is_sweep(a->job))
        action = ACT_SCHEDULE; /* that is where its jobs are looked after */
    switch (action) {
    case ACT_NOTHING: break;
    case ACT_LAUNCH: attempts_launch(d, a); break;
    case ACT_STOP_ATTEMPT: attempts_stop(d, a); break;
    case ACT_PREEMPT: attempts_preempt(d, a); break;
    case ACT_SCHEDULE: sched_soon(d); break;
    }
}

/* The job that came last, of those that are not over. */
static int64_t newest(const struct daemon *d)
{
    return d->active.n ? d->active.at[d->active.n - 1]->job->seq : 0;
}

/* After those of all that are not over. */
static int64_t next_turn(const struct daemon *d)
{
    int64_t last = 0;

    for (size_t i = 0; i < d->active.n; i++)
        if (d->active.at[i]->job->turn > last)
            last = d->active.at[i]->job->turn;
    return last + 1;
}

/* Where it stands among those that wait, from now on. */
static void take_turn(const struct daemon *d, struct job *j, enum job_event event,
                      enum job_state before)
{
    const bool stops = j->behind && before != JOB_QUEUED;

    if (stops)
        j->behind = newest(d); /* those that have come while it stopped, too */
    if (stops || event == EV_RETRY)
        j->turn = next_turn(d);
}

bool lifecycle_apply(struct daemon *d, struct active *a, enum job_event event,
                     const struct reason *reason, struct error *err)
{
    const struct job_transition *t = job_fsm_find(a->job->state, event);
    int64_t now = clock_wall_ms();
    const struct job before = *a->job;

    if (!t)
        return err_set(err, ERR_CONFLICT, "job %s is %s; %s has no place there", before.id,
                       job_state_name(before.state), job_event_name(event));
    a->job->state = t->to;
    take_turn(d, a->job, event, before.state);
    change(a->job, event, reason, now);
    if (!store_change(d, a, event, now, err)) {
        if (a->job->reason.message != before.reason.message)
            free(a->job->reason.message);
        *a->job = before;
        return err_wrap(err, "job %s: %s", before.id, job_event_name(event));
    }
    daemon_note_change(d, a);
    salvage_note(d, a->job);
    if (a->used_slot_ms)
        projects_charged(d, a->project, a->used_slot_ms, now);
    a->used_slot_ms = 0;
    if (a->job->result != before.result)
        free(before.result);
    log_info("job %s job=%s attempt=%" PRId64 "%s%s%s", job_state_name(t->to), a->job->id,
             a->job->attempt, reason ? " reason=\"" : "", reason ? reason->message : "",
             reason ? "\"" : "");
    if (a->job->reason.message != before.reason.message)
        free(before.reason.message);
    tell_state(d, a->job);
    sweeps_note(d, a->job, before.state);
    if (job_is_final(t->to)) {
        needs_note(d, a->job);
        daemon_drop_active(d, a);
        a = NULL;
    }
    act(d, a, t->action);
    return true;
}

/* Of one that is being cancelled: whether it would end sooner so. */
static bool hastens(const struct active *a, int64_t grace_s)
{
    const int64_t now_s = a->job->cancel_grace_s;

    if (grace_s < 0)
        return false;
    if (a->kill_at_ns)
        return clock_mono_ns() + grace_s * INT64_C(1000000000) < a->kill_at_ns;
    return now_s < 0 || grace_s < now_s;
}

static bool cancel(struct daemon *d, struct active *a, int64_t grace_s, struct error *err)
{
    const int64_t before = a->job->cancel_grace_s;
    struct reason why;

    if (a->job->cancel_requested && !hastens(a, grace_s))
        return true;
    if (grace_s < 0)
        reason_set(&why, "cancelled", "%s", "cancelled by a user");
    else if (grace_s == 0)
        reason_set(&why, "cancelled", "%s", "cancelled by a user, at once");
    else
        reason_set(&why, "cancelled", "cancelled by a user, within %" PRId64 " s", grace_s);
    a->job->cancel_grace_s = grace_s;
    if (lifecycle_apply(d, a, EV_CANCEL, &why, err))
        return true;
    a->job->cancel_grace_s = before;
    return false;
}

bool lifecycle_cancel(struct daemon *d, const char *id, int64_t grace_s, struct error *err)
{
    struct active *a = daemon_active(d, id);
    struct job *j;
    bool already;

    if (a)
        return cancel(d, a, grace_s, err);
    j = store_job_get(d->store, id, err);
    if (!j)
        return false;
    already =
        j->state == JOB_CANCELLED || err_set(err, ERR_CONFLICT, "job %s is over already: it %s", id,
                                             j->state == JOB_SUCCEEDED ? "succeeded" : "failed");
    job_destroy(j);
    return already;
}

static bool can_run_again(struct daemon *d, const struct job *j, struct error *err)
{
    char *spec;

    if (job_is_damaged(j))
        return err_set(err, ERR_CONFLICT, "%s; it cannot be run again", job_why(j));
    if (!job_fsm_find(j->state, EV_RETRY))
        return err_set(err, ERR_CONFLICT, "job %s succeeded; there is nothing to run again", j->id);
    if (!j->origin.sweep[0] && !projects_has_room(d, j->project, err))
        return false;
    spec = refs_plain(d, j, err);
    free(spec);
    return spec;
}

bool lifecycle_retry(struct daemon *d, const char *id, struct error *err)
{
    struct active *a = daemon_active(d, id);
    struct job *j;

    if (a)
        return err_set(err, ERR_CONFLICT,
                       "job %s is %s; only a job that failed or was cancelled "
                       "can be run again",
                       id, job_state_name(a->job->state));
    j = store_job_get(d->store, id, err);
    if (!j)
        return false;
    if (!can_run_again(d, j, err)) {
        job_destroy(j);
        return false;
    }
    if (!needs_look(d, j, err) || !sweeps_take_back(d, j, err)) {
        job_destroy(j);
        return false;
    }
    a = daemon_add_active(d, j);
    if (!lifecycle_apply(d, a, EV_RETRY, NULL, err)) {
        daemon_drop_active(d, a);
        return false;
    }
    /* What made the job fail may be in its metrics: they are read again from the beginning. If they cannot
     * be, the retry is under way all the same. */
    if (!store_metrics_reset(d->store, id, err))
        log_warn("old metrics are kept job=%s error=\"%s\"", id, err->msg);
    return true;
}

bool lifecycle_resize(struct daemon *d, struct active *a, int64_t ranks, const struct reason *why,
                      struct error *err)
{
    const int64_t before = a->job->ranks;
    struct reason asked;

    if (ranks == before)
        return true;
    if (job_is_elastic(a->job) && a->job->state == JOB_QUEUED)
        return err_set(err, ERR_CONFLICT,
                       "job %s waits; it starts with as many of its %" PRId64 " to %" PRId64
                       " ranks as there are slots for",
                       a->job->id, a->job->ranks_min, a->job->ranks_max);
    if (a->job->cancel_requested)
        return err_set(err, ERR_CONFLICT, "job %s is being cancelled", a->job->id);
    reason_set(&asked, "resizing", "asked to go on with %" PRId64 " rank%s instead of %" PRId64,
               ranks, ranks == 1 ? "" : "s", before);
    a->job->ranks = ranks;
    if (lifecycle_apply(d, a, EV_RESIZE, why ? why : &asked, err))
        return true;
    a->job->ranks = before;
    return false;
}

void lifecycle_name_for(const struct job *j, const struct job *other, char out[LIFECYCLE_NAME])
{
    if (strcmp(j->project, other->project) == 0)
        snprintf(out, LIFECYCLE_NAME, "job %s", other->id);
    else
        snprintf(out, LIFECYCLE_NAME, "a job of another project");
}

bool lifecycle_preempt(struct daemon *d, struct active *a, const struct job *by, struct error *err)
{
    char name[LIFECYCLE_NAME];
    struct reason why;

    lifecycle_name_for(a->job, by, name);
    reason_set(&why, "preempted", "stops with a checkpoint for %s, whose priority is %" PRId64,
               name, by->priority);
    memcpy(a->job->yield_for, by->id, sizeof(a->job->yield_for));
    if (lifecycle_apply(d, a, EV_PREEMPT, &why, err))
        return true;
    a->job->yield_for[0] = '\0';
    return false;
}

/* Why a job that is not active cannot be asked for anything: it is over, or not there. Always false. */
static bool over_already(struct daemon *d, const char *id, struct error *err)
{
    struct job *j = store_job_get(d->store, id, err);

    if (j)
        err_set(err, ERR_CONFLICT, "job %s is over already: it is %s", j->id,
                job_state_name(j->state));
    job_destroy(j);
    return false;
}

static bool may_step_back(const struct job *j, struct error *err)
{
    if (job_is_sweep(j))
        return err_set(err, ERR_CONFLICT,
                       "job %s is a sweep; its jobs can be preempted, one by one", j->id);
    if (j->cancel_requested)
        return err_set(err, ERR_CONFLICT, "job %s is being cancelled", j->id);
    return j->state == JOB_RUNNING ||
           err_set(err, ERR_CONFLICT, "job %s is %s; only one that runs can be preempted", j->id,
                   job_state_name(j->state));
}

bool lifecycle_step_back(struct daemon *d, const char *id, bool *already, struct error *err)
{
    struct active *a = daemon_active(d, id);
    struct reason why;

    if (!a)
        return over_already(d, id, err);
    *already = a->job->behind && !a->job->cancel_requested;
    if (*already)
        return true;
    if (!may_step_back(a->job, err))
        return false;
    reason_set(&why, "preempted", "%s",
               "preempted by a user: stops at a step boundary with a checkpoint, and goes on when "
               "those have started that wait by then");
    a->job->behind = newest(d);
    if (lifecycle_apply(d, a, EV_PREEMPT, &why, err))
        return true;
    a->job->behind = 0;
    return false;
}

static bool trains(const struct job *j)
{
    return !job_is_sweep(j) && (strcmp(j->kind, "train") == 0 || strcmp(j->kind, "distill") == 0);
}

bool lifecycle_checkpoint(struct daemon *d, const char *id, struct error *err)
{
    struct active *a = daemon_active(d, id);

    if (!a)
        return over_already(d, id, err);
    if (!trains(a->job))
        return err_set(err, ERR_CONFLICT,
                       "job %s is %s; only one of kind train or distill writes "
                       "checkpoints",
                       id, job_is_sweep(a->job) ? "a sweep" : a->job->kind);
    if (a->job->state != JOB_RUNNING)
        return err_set(err, ERR_CONFLICT, "job %s is %s; only one that runs writes a checkpoint",
                       id, job_state_name(a->job->state));
    return uplink_checkpoint_job(d->uplink, a) ||
           err_set(err, ERR_CONFLICT,
                   "job %s runs, but its rank 0 is not connected now; ask again in a moment", id);
}

static void say_held(const struct job *j, bool hold, struct reason *why)
{
    if (hold && j->state == JOB_QUEUED)
        reason_set(why, "held", "%s", "held by a user; it waits until it is released");
    else if (hold && job_is_sweep(j))
        reason_set(why, "held", "%s", "held by a user; it makes no more jobs until it is released");
    else if (hold)
        reason_set(
            why, "held", "%s",
            "held by a user; it stops at a step boundary with a checkpoint, and waits until it "
            "is released");
    else if (j->yield_requested && j->state != JOB_QUEUED)
        reason_set(why, "released", "%s",
                   "released; it goes on when the ranks have stopped that were asked to");
    else
        *why = (struct reason){.code = ""};
}

bool lifecycle_hold(struct daemon *d, const char *id, bool hold, bool *already, struct error *err)
{
    struct active *a = daemon_active(d, id);
    struct reason why;

    if (!a)
        return over_already(d, id, err);
    *already = a->job->hold_requested == hold;
    if (*already)
        return true;
    if (a->job->cancel_requested)
        return err_set(err, ERR_CONFLICT, "job %s is being cancelled", id);
    say_held(a->job, hold, &why);
    return lifecycle_apply(d, a, hold ? EV_HOLD : EV_RELEASE, why.code[0] ? &why : NULL, err);
}

/* -- Names, labels and priorities ------------------------------------------------------------------ */

/* What is changed, for the history; empty: nothing. */
static void say_edit(const struct job *j, const struct json *spec, const struct job_edit *e,
                     struct buf *out)
{
    char *before = js_text(js_get(spec, "labels"), JS_SORTED);
    char *after = js_text(e->labels, JS_SORTED);

    if (e->name && strcmp(e->name, j->name) != 0)
        buf_fmt(out, "name \"%s\" became \"%s\"", j->name, e->name);
    if (e->has_priority && e->priority != j->priority)
        buf_fmt(out, "%spriority %" PRId64 " became %" PRId64, out->len ? "; " : "", j->priority,
                e->priority);
    if (e->labels && strcmp(before, after) != 0)
        buf_fmt(out, "%slabels %.300s became %.300s", out->len ? "; " : "", before, after);
    free(before);
    free(after);
}

/* The job with the change; its spec is its own. */
static struct job edited(const struct job *j, struct json *spec, const struct job_edit *e)
{
    struct job after = *j;

    if (e->name) {
        snprintf(after.name, sizeof(after.name), "%s", e->name);
        js_set(spec, "name", js_new_string(e->name));
    }
    if (e->has_priority) {
        after.priority = e->priority;
        js_set(spec, "priority", js_new_int(e->priority));
    }
    if (e->labels)
        js_set(spec, "labels", js_copy(e->labels));
    after.spec = js_text(spec, JS_COMPACT);
    return after;
}

static bool store_edit(struct daemon *d, const struct job *after, const struct buf *what,
                       struct error *err)
{
    struct job told = *after;
    bool ok;

    told.reason = (struct job_reason){"edited", what->data};
    ok = store_begin(d->store, err) && store_job_edit(d->store, after, err) &&
         store_event_add(d->store, events_next_id(d->events), clock_wall_ms(), &told, err) &&
         store_commit(d->store, err);
    if (!ok)
        store_rollback(d->store);
    return ok;
}

static bool edit(struct daemon *d, struct job *j, struct json *spec, const struct job_edit *e,
                 struct error *err)
{
    struct buf what = buf_new(0);
    struct job after;
    bool ok = true;

    say_edit(j, spec, e, &what);
    if (what.len) {
        after = edited(j, spec, e);
        ok = store_edit(d, &after, &what, err);
        free(ok ? j->spec : after.spec);
        if (ok) {
            *j = after;
            salvage_note(d, j);
            log_info("job edited job=%s change=\"%s\"", j->id, buf_text(&what));
            lifecycle_tell_text(d, "state", j, job_text(j, false));
            sched_soon(d);
        }
    }
    buf_free(&what);
    return ok;
}

static bool may_be_edited(const struct job *j, const struct job_edit *e, struct error *err)
{
    if (job_is_damaged(j))
        return err_set(err, ERR_CONFLICT, "%s; it cannot be changed", job_why(j));
    return !job_is_final(j->state) || !e->has_priority || e->priority == j->priority ||
           err_set(err, ERR_CONFLICT, "job %s is %s, and has no place in the queue any more", j->id,
                   job_state_name(j->state));
}

bool lifecycle_edit(struct daemon *d, const char *id, const struct job_edit *e, struct error *err)
{
    struct active *a = daemon_active(d, id);
    struct job *owned = a ? NULL : store_job_get(d->store, id, err), *j = a ? a->job : owned;
    struct json *spec = j ? js_parse(j->spec, strlen(j->spec), err) : NULL;
    bool ok = spec && may_be_edited(j, e, err) && edit(d, j, spec, e, err);

    js_free(spec);
    job_destroy(owned);
    return ok;
}

/* A pause goes on over a restart; no longer than any of its policy, whatever became of the wall clock meanwhile. */
static void go_on_pausing(struct active *a)
{
    struct job *j = a->job;
    const int64_t now = clock_wall_ms(), left = j->not_before_ms - now;
    int64_t most;

    if (j->state != JOB_QUEUED || left <= 0)
        return;
    most = retry_longest_ms(j->spec);
    if (left > most)
        j->not_before_ms = now + most;
    a->pause_until_ns = clock_mono_ns() + (left < most ? left : most) * 1000000;
}

struct load {
    struct daemon *daemon;
    VEC(struct job *) damaged; /* set aside: they are final */
};

static void load_one(struct job *take_job, void *arg)
{
    struct load *l = arg;

    if (!job_is_final(take_job->state)) {
        go_on_pausing(daemon_add_active(l->daemon, take_job));
        return;
    }
    /* Nobody would look after what runs of it, nor count its slots. */
    if (take_job->attempt > 0 && id_valid(take_job->id))
        attempts_put_down(l->daemon, take_job);
    vec_push(&l->damaged, take_job);
}

/* Filters, counts and quotas ask the rows: they are to have the state that is shown. A row with other damage than its state
 * keeps that, and is shown as damaged; once it is mended, this reason is, and the job can be run again. */
static void store_damaged(struct daemon *d, struct job *take_job)
{
    struct reason aside;
    struct error err;

    reason_set(&aside, "set_aside", "when the daemon started, %s", take_job->reason.message);
    job_explain(take_job, &aside);
    take_job->finished_ms = take_job->finished_ms ? take_job->finished_ms : clock_wall_ms();
    if (!store_job_update(d->store, take_job, &err))
        log_error("a damaged job keeps its state in state.db job=%s error=\"%s\"", take_job->id,
                  err.msg);
    job_destroy(take_job);
}

bool lifecycle_load(struct daemon *d, struct error *err)
{
    struct load load = {.daemon = d};
    bool ok = projects_load(d, err) && store_jobs_active(d->store, load_one, &load, err);

    for (size_t i = 0; i < load.damaged.n; i++)
        store_damaged(d, load.damaged.at[i]);
    vec_free(&load.damaged);
    if (!ok)
        return false;
    for (size_t i = 0; i < d->active.n; i++)
        if (!needs_look(d, d->active.at[i]->job, err))
            return false;
    return true;
}
