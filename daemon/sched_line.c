/* The line of the newest pass, for those who ask: where a job stands in it, and who stands there. */
#include <stdlib.h>

#include "daemon/projects.h"
#include "daemon/sched_parts.h"

/* Keys of a walk: places count from 0, and those without a place follow by seq. */
static const int64_t apart = INT64_C(1) << 53;

static int by_seq(const void *a, const void *b)
{
    const struct line_place *x = a, *y = b;

    return (x->seq > y->seq) - (x->seq < y->seq);
}

static void sort_line(struct daemon *d)
{
    if (d->line_by_seq.n)
        return;
    for (size_t i = 0; i < d->line.n; i++)
        vec_push(&d->line_by_seq, d->line.at[i]);
    if (d->line.n)
        qsort(d->line_by_seq.at, d->line_by_seq.n, sizeof(*d->line_by_seq.at), by_seq);
}

/* As many as the line has: it is not there. */
static size_t ahead_of(struct daemon *d, const struct job *j)
{
    const struct line_place key = {.seq = j->seq}, *found;

    if (!d->line.n)
        return 0;
    sort_line(d);
    found = bsearch(&key, d->line_by_seq.at, d->line_by_seq.n, sizeof(*d->line_by_seq.at), by_seq);
    return found ? found->ahead : d->line.n;
}

static void explain_at(struct daemon *d, struct active *a, size_t ahead)
{
    struct reason why;
    bool looked_at, over_quota;

    if (ahead < SCHED_TOLD || ahead == d->line.n || !sched_stands_in_line(a))
        return;
    looked_at = ahead < d->plans.n;
    over_quota = looked_at ? d->plans.at[ahead] < 0 : d->projects.at[a->project].closed;
    sched_say_why(d, a, ahead, over_quota, &why);
    job_explain(a->job, &why);
    a->job->planned_ms = looked_at && !over_quota ? d->plans.at[ahead] : 0;
}

void sched_explain(struct daemon *d, struct active *a)
{
    explain_at(d, a, ahead_of(d, a->job));
}

/* -- All that wait ------------------------------------------------------------------------------------- */

/* The first active job that is not before it. */
static size_t find(const struct daemon *d, int64_t seq)
{
    size_t lo = 0, hi = d->active.n;

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;

        if (d->active.at[mid]->job->seq < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool waits(const struct active *a)
{
    return a->job->state == JOB_QUEUED && !job_is_sweep(a->job);
}

/* Those in line, from there on; false when fn has stopped it, or it was long enough, at *at. */
static bool walk_line(struct daemon *d, int64_t *at, size_t most, sched_waiting_fn fn, void *arg)
{
    for (; *at < (int64_t)d->line.n; ++*at) {
        const struct line_place *p = &d->line.at[*at];
        const size_t i = find(d, p->seq);
        struct active *a = i < d->active.n ? d->active.at[i] : NULL;

        if (most-- == 0)
            return false;
        if (!a || a->job->seq != p->seq || !waits(a)) /* it has left since */
            continue;
        explain_at(d, a, p->ahead);
        if (!fn(a, p->ahead + 1, arg))
            return false;
    }
    return true;
}

/* The others, in the order of arrival. Both lists are in that order here, and are gone through together. */
static bool walk_apart(struct daemon *d, int64_t *at, sched_waiting_fn fn, void *arg)
{
    size_t k = 0;

    sort_line(d);
    for (size_t i = find(d, *at - apart); i < d->active.n; i++) {
        struct active *a = d->active.at[i];
        const int64_t seq = a->job->seq;

        sched_fetch_ahead(d, i);
        while (k < d->line_by_seq.n && d->line_by_seq.at[k].seq < seq)
            k++;
        if (!waits(a) || (k < d->line_by_seq.n && d->line_by_seq.at[k].seq == seq))
            continue;
        *at = apart + seq;
        if (!fn(a, 0, arg))
            return false;
    }
    return true;
}

int64_t sched_each_waiting(struct daemon *d, int64_t from, size_t most, sched_waiting_fn fn,
                           void *arg)
{
    int64_t at = from;

    if (at < apart) {
        if (!walk_line(d, &at, most, fn, arg))
            return at;
        at = apart;
    }
    return walk_apart(d, &at, fn, arg) ? 0 : at;
}
