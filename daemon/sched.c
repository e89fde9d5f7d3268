#include "daemon/sched.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/lifecycle.h"
#include "daemon/queue.h"
#include "proto/base/log.h"

enum {
    /* Waiting jobs whose reason is told as it changes. Those further back are many, and each start changes
     * all of their places: they show it when asked. */
    TOLD = 32
};

int64_t sched_used(const struct daemon *d)
{
    int64_t used = 0;

    for (size_t i = 0; i < d->active.n; i++)
        if (d->active.at[i]->job->state != JOB_QUEUED)
            used += job_slots(d->active.at[i]->job);
    return used;
}

/* Not durable: it follows from the queue, and is worked out again at the next pass. */
static void explain(struct daemon *d, struct job *j, size_t ahead, int64_t free_slots)
{
    struct reason why;

    reason_set(&why, "waiting_for_slots",
               "needs %" PRId64 " slot%s (%" PRId64 " ranks x %" PRId64 " threads); %" PRId64
               " of %" PRId64 " are free, %zu job%s ahead",
               job_slots(j), job_slots(j) == 1 ? "" : "s", j->ranks, j->threads, free_slots,
               d->settings.slots, ahead, ahead == 1 ? " is" : "s are");
    if (strcmp(why.message, j->reason.message) == 0)
        return;
    j->reason = why;
    if (ahead < TOLD)
        lifecycle_tell(d, "state", j->id, job_json(j, false));
}

/* Jobs in the order in which they get slots. Those that only stopped to get other ranks come first: what
 * they held stays theirs. */
struct waiting {
    VEC(struct active *) jobs;
    VEC(struct queue_job) queue;
};

static void collect(const struct daemon *d, bool resizing, struct waiting *w)
{
    for (size_t i = 0; i < d->active.n; i++) {
        struct active *a = d->active.at[i];

        if (a->job->state != JOB_QUEUED || a->job->resize_requested != resizing)
            continue;
        vec_push(&w->jobs, a);
        vec_push(&w->queue, (struct queue_job){.need = job_slots(a->job)});
    }
}

static void pass(uv_timer_t *t)
{
    struct daemon *d = t->data;
    int64_t free_slots = d->settings.slots - sched_used(d), left;
    struct waiting w = {0};
    struct error err;
    size_t ahead = 0;

    collect(d, true, &w);
    collect(d, false, &w);
    left = queue_decide(w.queue.at, w.queue.n, d->settings.slots, free_slots);
    for (size_t i = 0; i < w.queue.n; i++)
        if (!w.queue.at[i].start)
            explain(d, w.jobs.at[i]->job, ahead++, left);
        else if (!lifecycle_apply(d, w.jobs.at[i], EV_START, NULL, &err))
            log_error("a job cannot be started yet error=\"%s\"", err.msg);
    vec_free(&w.queue);
    vec_free(&w.jobs);
}

void sched_soon(struct daemon *d)
{
    if (!d->stopping)
        uv_timer_start(&d->schedule, pass, 0, 0);
}
