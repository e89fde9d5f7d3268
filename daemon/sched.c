#include "daemon/sched.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/attempts.h"
#include "daemon/hosts.h"
#include "daemon/lifecycle.h"
#include "daemon/needs.h"
#include "daemon/projects.h"
#include "daemon/sched_parts.h"
#include "daemon/sweeps.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"

enum {
    /* After a pass that was long at work there is none for so many times as long: thousands of submissions to a long queue
     * would be thousands of passes. So they take a twentieth of the time, but for a sweep that fills free slots: it asks for
     * the next pass in each. */
    REST = 19,
    PLAN_TOLD_MS = 2000, /* so much later or sooner is news */
    REST_DOUBLED = 5     /* a start that cannot be prepared is tried again after 1 s, 2 s .. 32 s */
};

static void say_quota(const struct daemon *d, const struct active *a, struct reason *why)
{
    const struct project *p = &d->projects.at[a->project];
    const int64_t slots = job_slots(a->job);
    int64_t used = 0;

    for (size_t i = 0; i < d->busy.n; i++)
        if (d->busy.at[i]->project == a->project && attempts_running(d->busy.at[i]))
            used += job_slots(d->busy.at[i]->job);
    if (slots > p->quota_slots)
        reason_set(why, "unsatisfiable_now",
                   "needs %" PRId64 " slots, more than the %" PRId64
                   " that project %s may have at once; starts when that is raised, or with fewer "
                   "ranks",
                   slots, p->quota_slots, p->name);
    else
        reason_set(why, "waiting_for_quota",
                   "needs %" PRId64 " slots of project %s, whose jobs have %" PRId64
                   " of the %" PRId64 " that they may have at once%s",
                   slots, p->name, used, p->quota_slots,
                   used + slots > p->quota_slots
                       ? ""
                       : "; the rest is kept for jobs of the project that are ahead");
}

/* Whether it fits on the hosts that are there now, if nothing else runs; if not, says so. */
static bool could_fit(const struct daemon *d, const struct job *j, const char *down,
                      struct reason *why)
{
    const int64_t room = hosts_room(d, j->threads);

    if (job_least(j) <= room)
        return true;
    reason_set(why, "unsatisfiable_now",
               "needs %" PRId64 " ranks x %" PRId64 " threads, and there is room for %" PRId64
               " such ranks on all hosts together (%" PRId64
               " slots%s); starts when there are more slots, or with fewer ranks",
               job_least(j), j->threads, room, d->settings.slots, down);
    return false;
}

void sched_say_why(const struct daemon *d, const struct active *a, size_t ahead, bool over_quota,
                   struct reason *why)
{
    const struct job *j = a->job;
    const int64_t free_slots = d->free_slots;
    const char *are = ahead == 1 ? " is" : "s are", *split = "";
    char down[300], more[32] = "";

    if (d->paused) {
        reason_set(why, "draining",
                   "the queue is paused and no job starts until it is resumed; %zu job%s ahead",
                   ahead, are);
        return;
    }
    if (over_quota) {
        say_quota(d, a, why);
        return;
    }
    hosts_describe_closed(d, down, sizeof(down));
    if (!could_fit(d, j, down, why))
        return;
    if (job_most(j) > job_least(j))
        snprintf(more, sizeof(more), " to %" PRId64, job_most(j));
    if (ahead == 0 && free_slots >= job_slots(j))
        split = "; the threads of a rank need slots on one host";
    reason_set(why, "waiting_for_slots",
               "needs %" PRId64 " slot%s (%" PRId64 "%s ranks x %" PRId64 " threads); %" PRId64
               " of %" PRId64 " are free, %zu job%s ahead%s%s",
               job_slots(j), job_slots(j) == 1 ? "" : "s", job_least(j), more, j->threads,
               free_slots, d->settings.slots, ahead, are, split, down);
}

/* Not durable: it follows from the queue, and is worked out again at the next pass. */
static void explain(struct daemon *d, struct active *a, size_t ahead, bool over_quota,
                    int64_t planned_ms)
{
    struct job *j = a->job;
    struct reason why;

    sched_say_why(d, a, ahead, over_quota, &why);
    if (strcmp(why.message, job_why(j)) == 0 && llabs(planned_ms - j->planned_ms) < PLAN_TOLD_MS)
        return;
    job_explain(j, &why);
    j->planned_ms = planned_ms;
    lifecycle_tell_text(d, "state", j, job_text(j, false));
}

/* Between two attempts, or two tries of a start; its reason says why. It holds nobody back meanwhile. */
static bool pauses(const struct active *a)
{
    return a->pause_until_ns && clock_mono_ns() < a->pause_until_ns;
}

bool sched_stands_in_line(const struct active *a)
{
    const struct job *j = a->job;

    return j->state == JOB_QUEUED && !job_is_sweep(j) && !j->hold_requested &&
           (!j->n_needs || needs_verdict(j) == NEEDS_MET) && !pauses(a);
}

/* What keeps it out of the line may have come while its reason told of something else: an end, for example. */
static void explain_hold(struct daemon *d, struct job *j)
{
    struct reason why;

    if (strcmp(j->reason.code, "held") == 0)
        return;
    reason_set(&why, "held", "%s", "held by a user; it waits until it is released");
    job_explain(j, &why);
    lifecycle_tell_text(d, "state", j, job_text(j, false));
}

/* It keeps waiting, but says for what. Where the job's own files are at fault, it rests for longer each time, so that those
 * behind it start; what the store lacks they would lack, too. */
static void put_off(struct daemon *d, struct active *a, unsigned tries, const struct error *err)
{
    const unsigned rest_s = a->unprepared ? 1U << (tries < REST_DOUBLED ? tries : REST_DOUBLED) : 1;
    struct reason why;

    if (a->unprepared) {
        a->unstarted = (uint8_t)(tries < REST_DOUBLED ? tries + 1 : tries);
        a->pause_until_ns = clock_mono_ns() + rest_s * INT64_C(1000000000);
    }
    reason_set(&why, "cannot_start",
               "cannot be started: %s; starts once that is mended (tried again after %u s)",
               err->msg, rest_s);
    if (strcmp(why.message, job_why(a->job)) == 0)
        return;
    log_error("a job cannot be started yet job=%s error=\"%s\"", a->job->id, err->msg);
    job_explain(a->job, &why);
    a->job->planned_ms = 0;
    lifecycle_tell_text(d, "state", a->job, job_text(a->job, false));
}

static void start(struct daemon *d, struct active *a, const struct queue_job *q)
{
    char *placement = a->job->placement;
    const int64_t ranks = a->job->ranks;
    const unsigned tries = a->unstarted;
    struct error err;

    a->job->placement = hosts_placement(d, q->given);
    a->job->ranks = q->ranks;
    a->unstarted = 0;
    a->unprepared = false;
    if (lifecycle_apply(d, a, EV_START, NULL, &err)) {
        free(placement);
        return;
    }
    free(a->job->placement);
    a->job->placement = placement;
    a->job->ranks = ranks;
    put_off(d, a, tries, &err);
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Of the wall clock; 0: it is not known. */
static int64_t planned(const struct queue_job *q, int64_t now_ms)
{
    return q->start_ms == TIMELINE_EVER ? 0 : now_ms + q->start_ms;
}

static void begin_projects(struct daemon *d, struct look *l)
{
    l->shares = NEW_ARRAY(struct share, d->projects.n);
    l->quotas = NEW_ARRAY(struct queue_quota, d->projects.n);
    l->left = NEW_ARRAY(struct queue_quota, d->projects.n);
    for (size_t i = 0; i < d->projects.n; i++) {
        int64_t limit = d->projects.at[i].quota_slots;

        l->quotas[i].limit = l->quotas[i].left = limit ? limit : INT64_MAX;
    }
}

static void take_project(struct daemon *d, struct look *l, size_t project)
{
    if (l->shares[project].weight > 0)
        return;
    l->shares[project].weight = d->projects.at[project].weight;
    l->shares[project].used += projects_used(d, project, l->now_ms);
}

static void take_running(struct daemon *d, struct look *l, struct active *a)
{
    const int64_t slots = job_slots(a->job);

    vec_push(&l->running, (struct queue_running){.ranks = hosts_ranks(d, a->job->placement),
                                                 .threads = a->job->threads,
                                                 .left_ms = attempts_left_ms(d, a)});
    vec_push(&l->runs, a);
    take_project(d, l, a->project);
    l->shares[a->project].used += (double)(slots * attempts_lasted_ms(d, a)) / 1e3;
    l->quotas[a->project].left -= slots;
}

/* Those of projects that have jobs now count, and nothing is to be shared with oneself. */
static void add_shares(struct daemon *d, struct look *l)
{
    struct share *now = NEW_ARRAY(struct share, d->projects.n);
    size_t n = 0;

    for (size_t i = 0; i < d->projects.n; i++)
        if (l->shares[i].weight > 0)
            now[n++] = l->shares[i];
    share_out(now, n);
    for (size_t i = 0, k = 0; i < d->projects.n; i++)
        if (l->shares[i].weight > 0)
            l->shares[i] = now[k++];
    for (size_t i = 0; n > 1 && i < l->places.n; i++)
        l->places.at[i].ahead_ms +=
            l->shares[d->active.at[l->places.at[i].arrival]->project].ahead_ms;
    free(now);
}

/* Those that run, and those that have stopped and did not start again yet. */
static void take_claims(struct daemon *d, struct look *l)
{
    for (size_t i = 0; i < d->busy.n; i++) {
        const struct job *j = d->busy.at[i]->job;

        if (j->yield_requested && j->yield_for[0])
            vec_push(&l->claims, j->yield_for);
    }
}

bool sched_goes_first(const struct look *l, const struct job *j)
{
    bool first = j->resize_requested;

    for (size_t i = 0; !first && i < l->claims.n && j->preempt; i++)
        first = strcmp(l->claims.at[i], j->id) == 0;
    return first;
}

static const struct job *job_at(const struct daemon *d, const struct queue_place *p)
{
    return d->active.at[p->arrival]->job;
}

/* It waited when p stopped, and was neither made to stop nor retried later than that. */
static bool waited_then(const struct job *other, const struct job *p)
{
    return other != p && other->seq <= p->behind && (!other->turn || other->turn < p->turn);
}

/* Behind those that waited when a user made them stop. Of several the first that stopped is the first to go on: it has
 * found its place when the next one looks for its own. */
static void step_back(const struct daemon *d, struct look *l)
{
    for (size_t k = 0; k < l->behind.n; k++) {
        struct queue_place *p = &l->places.at[l->behind.at[k]];

        for (size_t i = 0; i < l->places.n; i++)
            if (waited_then(job_at(d, &l->places.at[i]), job_at(d, p)))
                queue_go_behind(p, &l->places.at[i]);
    }
}

/* In the order of their turns. */
static void add_behind(const struct daemon *d, struct look *l, size_t place)
{
    const int64_t turn = job_at(d, &l->places.at[place])->turn;
    size_t at = l->behind.n;

    vec_push(&l->behind, place);
    for (; at > 0 && job_at(d, &l->places.at[l->behind.at[at - 1]])->turn > turn; at--)
        l->behind.at[at] = l->behind.at[at - 1];
    l->behind.at[at] = place;
}

static void take_active(struct daemon *d, struct look *l)
{
    vec_reserve(&l->places, d->active.n);
    for (size_t i = 0; i < d->active.n; i++) {
        struct active *a = d->active.at[i];
        struct job *j = a->job;

        sched_fetch_ahead(d, i);
        if (j->hold_requested && j->state == JOB_QUEUED) {
            if (!l->asked)
                explain_hold(d, j);
        } else if (sched_stands_in_line(a)) {
            take_project(d, l, a->project);
            vec_push(&l->places, (struct queue_place){
                                     .arrived_ms = j->created_ms,
                                     .ahead_ms = queue_ahead(j->priority, sched_goes_first(l, j)),
                                     .arrival = i,
                                     .seq = j->seq});
            if (j->behind)
                add_behind(d, l, l->places.n - 1);
        } else if (attempts_running(a))
            take_running(d, l, a);
    }
    add_shares(d, l);
    step_back(d, l);
}

/* The first n of those that wait, in order. */
static void take_first(struct daemon *d, struct look *l, size_t n)
{
    l->jobs.n = l->who.n = 0;
    for (size_t i = 0; i < n; i++) {
        struct active *a = d->active.at[l->places.at[i].arrival];

        vec_push(&l->who, a);
        vec_push(&l->jobs, (struct queue_job){.ranks = job_least(a->job),
                                              .most = job_most(a->job),
                                              .threads = a->job->threads,
                                              .left_ms = max64(1, attempts_left_ms(d, a)),
                                              .project = a->project,
                                              .start_ms = TIMELINE_EVER});
    }
}

static void drop_jobs(struct look *l)
{
    for (size_t i = 0; i < l->jobs.n; i++)
        free(l->jobs.at[i].given);
    l->jobs.n = 0;
}

/* As few jobs as the decision needs; how many those are shows only then. */
static void decide(struct daemon *d, struct look *l)
{
    size_t n = 2 * QUEUE_DEPTH, looked_at;

    do {
        n = n < l->places.n ? n : l->places.n;
        drop_jobs(l);
        take_first(d, l, n);
        memcpy(l->left, l->quotas, d->projects.n * sizeof(*l->left));
        looked_at = d->paused ? 0
                              : queue_decide(l->jobs.at, n, l->running.at, l->running.n, l->hosts,
                                             hosts_count(d), l->left);
        n *= 2;
    } while (looked_at == l->jobs.n && looked_at < l->places.n);
    l->looked_at = looked_at;
}

/* Slots that nobody has, nor gets now. */
static int64_t left_free(const struct daemon *d, const struct look *l)
{
    int64_t left = 0;

    for (size_t h = 0; h < hosts_count(d); h++)
        left += l->hosts[h].free;
    for (size_t i = 0; i < l->jobs.n; i++)
        if (l->jobs.at[i].given)
            left -= l->jobs.at[i].ranks * l->jobs.at[i].threads;
    return left;
}

/* For all that go on waiting. Before anything starts: a start forks, and then every page that is written
 * has to be copied. For the same reason those further back are left alone. */
static void note_places(struct daemon *d, const struct look *l)
{
    for (size_t i = 0; i < d->projects.n; i++)
        d->projects.at[i].closed = l->left[i].closed;
    d->line.n = d->plans.n = 0;
    d->line_by_seq.n = 0;
    d->untold++;
    vec_reserve(&d->line, l->places.n);
    for (size_t i = 0; i < l->places.n; i++) {
        const struct queue_job *q = i < l->jobs.n ? &l->jobs.at[i] : NULL;
        const size_t ahead = d->line.n;

        if (q && q->given)
            continue;
        if (q && ahead < SCHED_TOLD)
            explain(d, l->who.at[i], ahead, q->over_quota, planned(q, l->now_ms));
        if (q)
            vec_push(&d->plans, q->over_quota ? -1 : planned(q, l->now_ms));
        vec_push(&d->line, (struct line_place){l->places.at[i].seq, ahead});
    }
}

void sched_look_free(struct look *l)
{
    drop_jobs(l);
    for (size_t i = 0; i < l->running.n; i++)
        free((void *)(uintptr_t)l->running.at[i].ranks);
    free(l->shares);
    free(l->quotas);
    free(l->left);
    free(l->hosts);
    vec_free(&l->places);
    vec_free(&l->jobs);
    vec_free(&l->who);
    vec_free(&l->running);
    vec_free(&l->runs);
    vec_free(&l->claims);
    vec_free(&l->behind);
}

void sched_look(struct daemon *d, struct look *l)
{
    l->now_ms = clock_wall_ms();
    l->hosts = hosts_free(d);
    begin_projects(d, l);
    take_claims(d, l);
    take_active(d, l);
    queue_order(l->places.at, l->places.n);
    decide(d, l);
}

static void pass(uv_timer_t *t)
{
    struct daemon *d = t->data;
    const double began = clock_mono_s(), busy = clock_cpu_s();
    struct look l = {.asked = NULL};

    d->in_pass = true;
    needs_pass(d);
    sweeps_pass(d);
    sched_look(d, &l);
    d->free_slots = left_free(d, &l);
    note_places(d, &l);
    sched_change_running(d, &l);
    d->scheduled_s = clock_mono_s();
    d->pass_s = clock_cpu_s() - busy;
    histogram_add(&d->schedule_seconds, d->scheduled_s - began);
    for (size_t i = 0; i < l.jobs.n; i++)
        if (l.jobs.at[i].given)
            start(d, l.who.at[i], &l.jobs.at[i]);
    sched_look_free(&l);
    d->in_pass = false;
}

bool sched_set_paused(struct daemon *d, bool paused, struct error *err)
{
    if (d->paused == paused)
        return true;
    if (!store_set_paused(d->store, paused, err))
        return false;
    d->paused = paused;
    log_info("the queue is %s", paused ? "paused" : "resumed");
    sched_soon(d);
    return true;
}

void sched_soon(struct daemon *d)
{
    const double due_s = d->scheduled_s + REST * d->pass_s - clock_mono_s();
    uint64_t ms =
        0; /* before the streams are asked, which say then in one why a job waits that has come */

    if (d->stopping || uv_is_active((uv_handle_t *)&d->schedule))
        return;
    if (due_s > 0) {
        uv_update_time(&d->loop);
        ms = (uint64_t)ceil(1e3 * due_s);
    } else if (d->in_pass) {
        ms = 1; /* or libuv before 1.48 looks at no descriptor in between (its issue 4245) */
    }
    uv_timer_start(&d->schedule, pass, ms, 0);
}
