#include "daemon/sched.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/attempts.h"
#include "daemon/hosts.h"
#include "daemon/lifecycle.h"
#include "daemon/queue.h"
#include "daemon/sweeps.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"

enum {
    /* Waiting jobs whose reason is told as it changes. Those further back are many, and each start changes
     * all of their places: they show it when asked. */
    TOLD = 32,
    /* After a pass that took long there is none for so many times as long: thousands of submissions to a long queue
     * would be thousands of passes. */
    REST = 4,
    PLAN_TOLD_MS = 2000,                /* so much later or sooner is news */
    PAUSE_MAX_MS = 2 * 24 * 3600 * 1000 /* of any policy (validate.c), spread included */
};

static void say_why(const struct daemon *d, const struct job *j, size_t ahead, int64_t free_slots,
                    struct reason *why)
{
    const char *are = ahead == 1 ? " is" : "s are", *split = "";
    char down[300];

    if (d->paused) {
        reason_set(why, "draining",
                   "the queue is paused and no job starts until it is resumed; %zu job%s ahead",
                   ahead, are);
        return;
    }
    hosts_describe_down(d, down, sizeof(down));
    if (ahead == 0 && free_slots >= job_slots(j))
        split = "; the threads of a rank need slots on one host";
    reason_set(why, "waiting_for_slots",
               "needs %" PRId64 " slot%s (%" PRId64 " ranks x %" PRId64 " threads); %" PRId64
               " of %" PRId64 " are free, %zu job%s ahead%s%s",
               job_slots(j), job_slots(j) == 1 ? "" : "s", j->ranks, j->threads, free_slots,
               d->settings.slots, ahead, are, split, down);
}

/* Not durable: it follows from the queue, and is worked out again at the next pass. */
static void explain(struct daemon *d, struct job *j, size_t ahead, int64_t free_slots,
                    int64_t planned_ms)
{
    struct reason why;

    say_why(d, j, ahead, free_slots, &why);
    if (strcmp(why.message, j->reason.message) == 0 &&
        llabs(planned_ms - j->planned_ms) < PLAN_TOLD_MS)
        return;
    j->reason = why;
    j->planned_ms = planned_ms;
    d->untold++;
    if (ahead < TOLD)
        lifecycle_tell_text(d, "state", j->id, job_text(j, false));
}

static void start(struct daemon *d, struct active *a, const int64_t *given)
{
    struct error err;

    free(a->job->placement);
    a->job->placement = hosts_placement(d, given);
    if (!lifecycle_apply(d, a, EV_START, NULL, &err))
        log_error("a job cannot be started yet error=\"%s\"", err.msg);
}

/* Between two attempts; its reason says why and until when. It holds nobody back meanwhile. A clock that was set
 * back must not make it wait for ever. */
static bool pauses(const struct job *j, int64_t now_ms)
{
    return j->not_before_ms > now_ms && j->not_before_ms - now_ms <= PAUSE_MAX_MS;
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

static void decide(struct daemon *d, struct queue_job *queue, size_t n,
                   const struct place_host *hosts)
{
    VEC(struct queue_running) running = {0};

    for (size_t i = 0; i < d->active.n; i++) {
        struct active *a = d->active.at[i];

        if (a->job->state != JOB_QUEUED && !job_is_sweep(a->job))
            vec_push(&running, (struct queue_running){.ranks = hosts_ranks(d, a->job->placement),
                                                      .threads = a->job->threads,
                                                      .left_ms = attempts_left_ms(d, a)});
    }
    queue_decide(queue, n, running.at, running.n, hosts, hosts_count(d));
    for (size_t i = 0; i < running.n; i++)
        free((void *)(uintptr_t)running.at[i].ranks);
    vec_free(&running);
}

/* Slots that nobody has, nor gets now. */
static int64_t left_free(const struct place_host *hosts, size_t n_hosts,
                         const struct queue_job *queue, size_t n)
{
    int64_t left = 0;

    for (size_t h = 0; h < n_hosts; h++)
        left += hosts[h].free;
    for (size_t i = 0; i < n; i++)
        if (queue[i].given)
            left -= queue[i].ranks * queue[i].threads;
    return left;
}

static void pass(uv_timer_t *t)
{
    struct daemon *d = t->data;
    struct place_host *hosts;
    double began = clock_mono_s();
    const int64_t now = clock_wall_ms();
    VEC(struct queue_job) queue = {0};
    VEC(struct active *) waiting = {0};
    size_t ahead = 0;
    int64_t left;

    sweeps_pass(d);
    hosts = hosts_free(d);
    for (size_t i = 0; i < d->active.n; i++) {
        const struct job *j = d->active.at[i]->job;

        if (j->state != JOB_QUEUED || job_is_sweep(j) || pauses(j, now))
            continue;
        vec_push(&waiting, d->active.at[i]);
        vec_push(&queue,
                 (struct queue_job){.ranks = j->ranks,
                                    .threads = j->threads,
                                    .priority = j->priority,
                                    .left_ms = max64(1, attempts_left_ms(d, d->active.at[i])),
                                    .resizing = j->resize_requested,
                                    .arrived_ms = j->created_ms,
                                    .start_ms = TIMELINE_EVER});
    }
    queue_order(queue.at, queue.n);
    if (!d->paused)
        decide(d, queue.at, queue.n, hosts);
    left = left_free(hosts, hosts_count(d), queue.at, queue.n);
    /* Reasons first: a start forks, and then every page that is written has to be copied. */
    for (size_t i = 0; i < queue.n; i++)
        if (!queue.at[i].given)
            explain(d, waiting.at[queue.at[i].arrival]->job, ahead++, left,
                    planned(&queue.at[i], now));
    for (size_t i = 0; i < queue.n; i++) {
        if (queue.at[i].given)
            start(d, waiting.at[queue.at[i].arrival], queue.at[i].given);
        free(queue.at[i].given);
    }
    free(hosts);
    vec_free(&queue);
    vec_free(&waiting);
    d->scheduled_s = clock_mono_s();
    d->pass_s = d->scheduled_s - began;
    histogram_add(&d->schedule_seconds, d->pass_s);
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

    if (d->stopping || uv_is_active((uv_handle_t *)&d->schedule))
        return;
    uv_timer_start(&d->schedule, pass, due_s > 0 ? (uint64_t)ceil(1e3 * due_s) : 0, 0);
}
