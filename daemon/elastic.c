#include "daemon/elastic.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

/* What the queue would decide if some of them had stopped. */
struct trial {
    struct queue_job *jobs; /* first those that stopped, then those that wait */
    size_t n, stopped;
};

/* Ranks that a job would then go on with; most 0: it does not stop. */
struct range {
    int64_t least, most;
};

static void stop(struct place_host *hosts, const struct elastic_view *v,
                 const struct elastic_job *e, struct queue_quota *quotas)
{
    for (size_t h = 0; h < v->n_hosts; h++)
        hosts[h].free += e->run.ranks[h] * e->run.threads;
    quotas[e->project].left += e->ranks * e->run.threads;
}

/* When those have stopped that were asked to. */
static struct queue_running then(const struct elastic_view *v, struct queue_running r)
{
    if (r.left_ms != TIMELINE_EVER)
        r.left_ms = r.left_ms > v->stop_ms ? r.left_ms - v->stop_ms : 1;
    return r;
}

static struct trial try_it(const struct elastic_view *v, const struct elastic_job *jobs, size_t n,
                           const struct range *ranges)
{
    struct trial t = {.jobs = NEW_ARRAY(struct queue_job, n + v->n)};
    struct queue_running *running = NEW_ARRAY(struct queue_running, n + v->n_running);
    struct place_host *hosts = NEW_ARRAY(struct place_host, v->n_hosts);
    struct queue_quota *quotas = NEW_ARRAY(struct queue_quota, v->n_quotas);
    size_t run = v->n_running;

    for (size_t i = 0; i < v->n_running; i++)
        running[i] = then(v, v->running[i]);
    memcpy(hosts, v->hosts, v->n_hosts * sizeof(*hosts));
    memcpy(quotas, v->quotas, v->n_quotas * sizeof(*quotas));
    for (size_t i = 0; i < n; i++) {
        const struct elastic_job *e = &jobs[i];

        if (!ranges[i].most) {
            running[run++] = then(v, e->run);
            continue;
        }
        stop(hosts, v, e, quotas);
        t.jobs[t.stopped++] = (struct queue_job){.ranks = ranges[i].least,
                                                 .most = ranges[i].most,
                                                 .threads = e->run.threads,
                                                 .left_ms = then(v, e->run).left_ms,
                                                 .project = e->project};
    }
    if (v->n)
        memcpy(t.jobs + t.stopped, v->jobs, v->n * sizeof(*v->jobs));
    t.n = t.stopped + v->n;
    queue_decide(t.jobs, t.n, running, run, hosts, v->n_hosts, quotas);
    free(quotas);
    free(hosts);
    free(running);
    return t;
}

static void trial_free(struct trial *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->jobs[i].given);
    free(t->jobs);
}

/* Whether all that stopped go on at once. */
static bool all_go_on(const struct trial *t)
{
    for (size_t i = 0; i < t->stopped; i++)
        if (!t->jobs[i].given)
            return false;
    return true;
}

/* Whether some job starts that did not before; the first in line. */
static bool starts_more(const struct elastic_view *v, const struct trial *before,
                        const struct trial *after, size_t *first)
{
    const struct queue_job *b = before->jobs + before->stopped, *a = after->jobs + after->stopped;

    for (*first = 0; *first < v->n; ++*first)
        if (a[*first].given && !b[*first].given)
            return true;
    return false;
}

/* Whether each of the first n that wait starts as early as before, if it was known when. */
static bool delays_nobody(const struct trial *before, const struct trial *after, size_t n)
{
    const struct queue_job *b = before->jobs + before->stopped, *a = after->jobs + after->stopped;

    for (size_t i = 0; i < n; i++)
        if (a[i].start_ms > b[i].start_ms)
            return false;
    return true;
}

/* Those that were asked already stop in any case. */
static void begin(const struct elastic_job *jobs, size_t n, struct range *ranges)
{
    for (size_t i = 0; i < n; i++)
        ranges[i] =
            jobs[i].stopping ? (struct range){jobs[i].least, jobs[i].most} : (struct range){0, 0};
}

/* The ranks that each would have if all of them stopped, without getting more than they have. False: that is no
 * reason to stop any. */
static bool fewest(const struct elastic_view *v, struct elastic_job *jobs, size_t n,
                   const struct trial *base, struct range *ranges)
{
    struct trial t;
    size_t first, k = 0;
    bool ok;

    begin(jobs, n, ranges);
    for (size_t i = 0; i < n; i++)
        if (!jobs[i].stopping)
            ranges[i] = (struct range){jobs[i].least, jobs[i].ranks};
    t = try_it(v, jobs, n, ranges);
    ok = all_go_on(&t) && starts_more(v, base, &t, &first);
    for (size_t i = 0; ok && i < n; i++, k++)
        if (!jobs[i].stopping)
            jobs[i].want = t.jobs[k].ranks;
    trial_free(&t);
    return ok;
}

/* Those that keep their ranks stay where they are; that may be on other hosts than fewest() gave them. */
static bool shrink(const struct elastic_view *v, struct elastic_job *jobs, size_t n,
                   const struct trial *base, struct range *ranges, size_t *starts)
{
    struct trial t;
    bool ok;

    if (!fewest(v, jobs, n, base, ranges))
        return false;
    begin(jobs, n, ranges);
    for (size_t i = 0; i < n; i++)
        if (jobs[i].want < jobs[i].ranks)
            ranges[i] = (struct range){jobs[i].least, jobs[i].want};
    t = try_it(v, jobs, n, ranges);
    ok = all_go_on(&t) && starts_more(v, base, &t, starts) && delays_nobody(base, &t, *starts);
    trial_free(&t);
    return ok;
}

static int64_t free_slots(const struct elastic_view *v)
{
    int64_t slots = 0;

    for (size_t h = 0; h < v->n_hosts; h++)
        slots += v->hosts[h].free > 0 ? v->hosts[h].free : 0;
    return slots;
}

static bool somebody_stops(const struct elastic_job *jobs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (jobs[i].stopping)
            return true;
    return false;
}

/* Who stops for slots that others still have may be back before those are free. */
static bool grow(const struct elastic_view *v, struct elastic_job *jobs, size_t n,
                 const struct trial *base, struct range *ranges)
{
    const int64_t slots = free_slots(v);

    for (size_t i = 0; i < n && !somebody_stops(jobs, n); i++) {
        struct trial t;
        size_t at = 0;
        bool ok;

        /* Where all is in use, many jobs need no trial each. */
        if (jobs[i].most <= jobs[i].ranks || jobs[i].ranks * jobs[i].run.threads > slots)
            continue;
        begin(jobs, n, ranges);
        ranges[i] = (struct range){jobs[i].least, jobs[i].most};
        for (size_t k = 0; k < i; k++)
            at += ranges[k].most != 0;
        t = try_it(v, jobs, n, ranges);
        ok = t.jobs[at].given && t.jobs[at].ranks > jobs[i].ranks && delays_nobody(base, &t, v->n);
        if (ok)
            jobs[i].want = t.jobs[at].ranks;
        trial_free(&t);
        if (ok)
            return true;
    }
    return false;
}

static void stay(struct elastic_job *jobs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        jobs[i].want = jobs[i].ranks;
}

bool elastic_decide(const struct elastic_view *v, struct elastic_job *jobs, size_t n,
                    size_t *starts)
{
    struct range *ranges = NEW_ARRAY(struct range, n);
    struct trial base;
    bool changed;

    begin(jobs, n, ranges);
    stay(jobs, n);
    base = try_it(v, jobs, n, ranges);
    changed = shrink(v, jobs, n, &base, ranges, starts);
    if (!changed) {
        stay(jobs, n);
        *starts = v->n;
        changed = grow(v, jobs, n, &base, ranges);
    }
    trial_free(&base);
    free(ranges);
    return changed;
}
