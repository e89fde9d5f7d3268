/* What the queue would do with one more job: a look at it with that job in it, of which nothing is carried out. */
#include <stdlib.h>
#include <string.h>

#include "daemon/hosts.h"
#include "daemon/needs.h"
#include "daemon/projects.h"
#include "daemon/sched_parts.h"

/* Those before place k that go on waiting. */
static size_t waiting_before(const struct look *l, size_t k)
{
    size_t n = 0;

    for (size_t i = 0; i < k; i++)
        n += i >= l->jobs.n || !l->jobs.at[i].given;
    return n;
}

static void take_decision(struct daemon *d, struct look *l, const struct active *a, size_t k,
                          struct sched_forecast *out)
{
    const struct queue_job *q = k < l->jobs.n ? &l->jobs.at[k] : NULL;
    bool over_quota = q ? q->over_quota : l->left[a->project].closed;

    out->starts = q && q->given;
    if (out->starts) {
        out->ranks = q->ranks;
        out->placement = hosts_placement(d, q->given);
        return;
    }
    out->ahead = waiting_before(l, k);
    if (q && !over_quota && q->start_ms != TIMELINE_EVER)
        out->planned_ms = l->now_ms + q->start_ms;
    sched_say_why(d, a, out->ahead, over_quota, &out->why);
    sched_preempt(d, l);
    out->stops = l->would_stop;
    if (out->stops)
        reason_set(&out->why, "preempting",
                   "%zu running job%s of a lower priority would stop for it", out->stops,
                   out->stops == 1 ? "" : "s");
}

/* It does not stand in line at all. */
static void say_apart(const struct job *j, struct reason *why)
{
    if (j->hold_requested)
        reason_set(why, "held", "%s", "held by a user; it waits until it is released");
    else
        needs_describe(j, why);
}

static void forecast(struct daemon *d, const struct active *a, struct sched_forecast *out)
{
    struct look l = {.asked = a->job};
    size_t k = 0;

    sched_look(d, &l);
    while (k < l.places.n && d->active.at[l.places.at[k].arrival] != a)
        k++;
    if (k < l.places.n)
        take_decision(d, &l, a, k, out);
    else
        say_apart(a->job, &out->why);
    sched_look_free(&l);
}

void sched_forecast(struct daemon *d, struct job *j, struct sched_forecast *out)
{
    const size_t projects = d->projects.n, n = d->active.n;
    struct active a = {.job = j, .project = projects_index(d, j->project)};

    *out = (struct sched_forecast){.ranks = job_least(j)};
    j->seq = n ? d->active.at[n - 1]->job->seq + 1 : 1;
    vec_push(&d->active, &a);
    forecast(d, &a, out);
    d->active.n = n;
    d->projects.n = projects; /* one that nobody else has named is forgotten again */
}
