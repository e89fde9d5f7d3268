/* What becomes of jobs that run when others wait: some go on with fewer ranks, or with more; some stop for a more
 * important one. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/attempts.h"
#include "daemon/elastic.h"
#include "daemon/hosts.h"
#include "daemon/lifecycle.h"
#include "daemon/preempt.h"
#include "daemon/sched_parts.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

enum {
    STOP_MS = 2000 /* that ranks take to stop with a checkpoint, and to start again, as a rule */
};

static void add_slots(struct place_host *hosts, size_t n, const int64_t *ranks, int64_t threads)
{
    for (size_t h = 0; h < n; h++)
        hosts[h].free += ranks[h] * threads;
}

/* -- Other ranks ----------------------------------------------------------------------------------- */

/* A job that runs and whose ranks may change, or are about to. */
struct candidate {
    size_t run; /* of l->runs */
    int64_t priority, since_ns, seq;
};

struct change {
    struct elastic_view view;
    VEC(struct queue_job) line;
    VEC(const struct job *) who; /* those are */
    VEC(struct queue_running) running;
    VEC(struct candidate) order;  /* the most important first, then the oldest */
    VEC(struct elastic_job) jobs; /* the same */
    struct place_host *hosts;
    struct queue_quota *quotas;
    bool leaving; /* slots come free anyway, but are not yet */
};

static bool may_change(const struct job *j)
{
    return job_is_elastic(j) && j->state == JOB_RUNNING && !j->cancel_requested &&
           !job_is_stopping(j);
}

static bool may_grow(const struct daemon *d, struct active *a)
{
    return a->job->attempt_ranks < a->job->ranks_max &&
           (double)attempts_lasted_ms(d, a) >= 1e3 * d->settings.grow_after_s;
}

static bool is_worth_a_look(const struct daemon *d, const struct look *l)
{
    for (size_t i = 0; !d->paused && i < l->runs.n; i++) {
        const struct job *j = l->runs.at[i]->job;

        if (may_change(j) &&
            ((l->places.n && j->attempt_ranks > j->ranks_min) || may_grow(d, l->runs.at[i])))
            return true;
    }
    return false;
}

static int by_worth(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    if (x->since_ns != y->since_ns)
        return x->since_ns < y->since_ns ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* What starts now has its slots; whoever goes on waiting is asked about. */
static void take_line(struct change *c, const struct daemon *d, const struct look *l)
{
    for (size_t i = 0; i < l->jobs.n; i++) {
        const struct queue_job *q = &l->jobs.at[i];

        if (!q->given) {
            vec_push(&c->line, *q);
            vec_push(&c->who, l->who.at[i]->job);
            continue;
        }
        add_slots(c->hosts, hosts_count(d), q->given, -q->threads);
        c->quotas[q->project].left -= q->ranks * q->threads;
        vec_push(&c->running, (struct queue_running){q->given, q->threads, q->left_ms});
    }
}

static void take_run(struct change *c, const struct daemon *d, const struct look *l, size_t i)
{
    const struct active *a = l->runs.at[i];
    const struct job *j = a->job;

    if (j->cancel_requested || j->yield_requested) {
        c->leaving = true;
        add_slots(c->hosts, hosts_count(d), l->running.at[i].ranks, j->threads);
        c->quotas[a->project].left += job_slots(j);
    } else if (j->resize_requested || may_change(j)) {
        vec_push(&c->order, (struct candidate){i, j->priority, a->since_ns, j->seq});
    } else {
        vec_push(&c->running, l->running.at[i]);
    }
}

static struct elastic_job elastic_of(const struct change *c, const struct daemon *d,
                                     const struct look *l, size_t run)
{
    struct active *a = l->runs.at[run];
    const struct job *j = a->job;
    struct elastic_job e = {.run = l->running.at[run],
                            .ranks = j->attempt_ranks,
                            .project = a->project,
                            .stopping = j->resize_requested,
                            .least = job_least(j),
                            .most = job_most(j)};

    if (e.run.left_ms < 1)
        e.run.left_ms = 1;
    if (!e.stopping && (c->leaving || !may_grow(d, a)))
        e.most = e.ranks;
    return e;
}

static void change_begin(struct change *c, const struct daemon *d, const struct look *l)
{
    const size_t hosts = hosts_count(d), projects = d->projects.n;

    c->hosts = NEW_ARRAY(struct place_host, hosts);
    c->quotas = NEW_ARRAY(struct queue_quota, projects);
    memcpy(c->hosts, l->hosts, hosts * sizeof(*c->hosts));
    memcpy(c->quotas, l->quotas, projects * sizeof(*c->quotas));
    take_line(c, d, l);
    for (size_t i = 0; i < l->runs.n; i++)
        take_run(c, d, l, i);
    qsort(c->order.at, c->order.n, sizeof(*c->order.at), by_worth);
    for (size_t i = 0; i < c->order.n; i++)
        vec_push(&c->jobs, elastic_of(c, d, l, c->order.at[i].run));
    c->view = (struct elastic_view){.jobs = c->line.at,
                                    .n = c->line.n,
                                    .running = c->running.at,
                                    .n_running = c->running.n,
                                    .hosts = c->hosts,
                                    .n_hosts = hosts,
                                    .quotas = c->quotas,
                                    .n_quotas = projects,
                                    .stop_ms = STOP_MS};
}

static void change_end(struct change *c)
{
    vec_free(&c->line);
    vec_free(&c->who);
    vec_free(&c->running);
    vec_free(&c->order);
    vec_free(&c->jobs);
    free(c->hosts);
    free(c->quotas);
}

/* by: the job that starts because of it; NULL: slots are free. */
static void say_change(const struct job *j, int64_t ranks, const struct job *by, struct reason *why)
{
    char name[LIFECYCLE_NAME];

    if (!by) {
        reason_set(why, "growing",
                   "goes on with %" PRId64 " ranks instead of %" PRId64
                   ": nobody who waits can use the slots that are free",
                   ranks, j->attempt_ranks);
        return;
    }
    lifecycle_name_for(j, by, name);
    reason_set(why, "shrinking",
               "goes on with %" PRId64 " rank%s instead of %" PRId64 ", so that %s can start",
               ranks, ranks == 1 ? "" : "s", j->attempt_ranks, name);
}

static void change_ranks(struct daemon *d, const struct look *l)
{
    struct change c = {.hosts = NULL};
    size_t starts;

    change_begin(&c, d, l);
    if (elastic_decide(&c.view, c.jobs.at, c.jobs.n, &starts))
        for (size_t i = 0; i < c.jobs.n; i++) {
            struct active *a = l->runs.at[c.order.at[i].run];
            struct reason why;
            struct error err;

            if (c.jobs.at[i].want == c.jobs.at[i].ranks)
                continue;
            say_change(a->job, c.jobs.at[i].want, starts < c.who.n ? c.who.at[starts] : NULL, &why);
            if (!lifecycle_resize(d, a, c.jobs.at[i].want, &why, &err))
                log_error("a job cannot be resized yet error=\"%s\"", err.msg);
        }
    change_end(&c);
}

/* -- Preemption ------------------------------------------------------------------------------------ */

/* What comes free as a job stops to go on with other ranks; nothing, where those have no room without it. */
static void count_resized(const struct daemon *d, const struct job *j,
                          const struct queue_running *run, struct place_host *soon)
{
    const size_t n = hosts_count(d);
    int64_t *given = NEW_ARRAY(int64_t, n);

    add_slots(soon, n, run->ranks, run->threads);
    add_slots(soon, n, place_ranks(soon, n, job_most(j), run->threads, given) ? given : run->ranks,
              -run->threads);
    free(given);
}

/* What nobody has after the starts, and what comes free as ranks stop that were asked to. free() */
static struct place_host *soon_free(const struct daemon *d, const struct look *l)
{
    size_t n = hosts_count(d);
    struct place_host *soon = NEW_ARRAY(struct place_host, n);

    memcpy(soon, l->hosts, n * sizeof(*soon));
    for (size_t i = 0; i < l->jobs.n; i++)
        if (l->jobs.at[i].given)
            add_slots(soon, n, l->jobs.at[i].given, -l->jobs.at[i].threads);
    for (size_t i = 0; i < l->runs.n; i++) {
        const struct job *j = l->runs.at[i]->job;

        if (j->resize_requested)
            count_resized(d, j, &l->running.at[i], soon);
        else if (j->yield_requested)
            add_slots(soon, n, l->running.at[i].ranks, l->running.at[i].threads);
    }
    return soon;
}

static struct preempt_victim *all_victims(struct daemon *d, const struct look *l)
{
    struct preempt_victim *v = NEW_ARRAY(struct preempt_victim, l->runs.n);

    for (size_t i = 0; i < l->runs.n; i++) {
        struct active *a = l->runs.at[i];
        const struct job *j = a->job;
        int64_t ran_ms = attempts_lasted_ms(d, a);

        v[i] = (struct preempt_victim){.ranks = l->running.at[i].ranks,
                                       .threads = l->running.at[i].threads,
                                       .priority = j->priority,
                                       .ran_ms = ran_ms,
                                       .may = j->preemptible && j->state == JOB_RUNNING &&
                                              !j->cancel_requested && !job_is_stopping(j) &&
                                              ran_ms >= j->min_runtime_ms};
    }
    return v;
}

/* Whether its project lets it start. What the decision looked at has its part of the quota already. */
static bool has_quota(const struct look *l, size_t i)
{
    const struct queue_job *q = &l->jobs.at[i];
    struct queue_quota *left = &l->left[q->project];

    if (i < l->looked_at)
        return !q->over_quota;
    if (left->closed || q->ranks * q->threads > left->left)
        return false;
    left->left -= q->ranks * q->threads;
    return true;
}

static void stop_victims(struct daemon *d, struct look *l, const struct job *by,
                         struct preempt_victim *v, struct place_host *soon)
{
    struct error err;

    for (size_t i = 0; i < l->runs.n; i++) {
        if (!v[i].chosen)
            continue;
        v[i].may = v[i].chosen = false;
        for (size_t h = 0; h < hosts_count(d); h++)
            soon[h].free += v[i].ranks[h] * v[i].threads;
        l->would_stop += by == l->asked;
        if (!l->asked && !lifecycle_preempt(d, l->runs.at[i], by, &err))
            log_error("a job cannot be preempted yet error=\"%s\"", err.msg);
    }
}

/* One that a user made stop for others stops none of them. */
static bool may_preempt(const struct job *j)
{
    return j->preempt && !j->behind;
}

/* In the order of the queue: whoever goes first, or may preempt, keeps what is soon free for itself; where that is
 * not enough, others are stopped. */
void sched_preempt(struct daemon *d, struct look *l)
{
    struct place_host *soon = soon_free(d, l);
    struct preempt_victim *v = all_victims(d, l);
    int64_t *given = NEW_ARRAY(int64_t, hosts_count(d));

    for (size_t i = 0; i < l->jobs.n && !d->paused; i++) {
        const struct queue_job *q = &l->jobs.at[i];
        const struct job *j = l->who.at[i]->job;

        if (q->given || !(may_preempt(j) || sched_goes_first(l, j)) || !has_quota(l, i))
            continue;
        if (may_preempt(j) &&
            preempt_choose(soon, hosts_count(d), q->ranks, q->threads, j->priority, v, l->runs.n))
            stop_victims(d, l, j, v, soon);
        if (place_ranks(soon, hosts_count(d), q->ranks, q->threads, given))
            for (size_t h = 0; h < hosts_count(d); h++)
                soon[h].free -= given[h] * q->threads;
    }
    free(given);
    free(v);
    free(soon);
}

void sched_change_running(struct daemon *d, struct look *l)
{
    if (is_worth_a_look(d, l))
        change_ranks(d, l);
    sched_preempt(d, l);
}
