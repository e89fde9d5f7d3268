#include "daemon/queue.h"

#include <stdlib.h>

#include "proto/base/mem.h"

/* Priority in units of waiting time, less the time of arrival: the difference of two is that of their
 * effective priorities at any moment. */
static int64_t rank_of(const struct queue_job *j)
{
    return j->priority * QUEUE_AGING_MS - j->arrived_ms;
}

static int by_rank(const void *a, const void *b)
{
    const struct queue_job *x = a, *y = b;
    int64_t first = rank_of(x), second = rank_of(y);

    if (x->resizing != y->resizing)
        return x->resizing ? -1 : 1;
    if (first != second)
        return first > second ? -1 : 1;
    return x->arrival < y->arrival ? -1 : 1;
}

void queue_order(struct queue_job *jobs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        jobs[i].arrival = i;
        /* The clock may have been set back; whoever came later did not wait longer. */
        if (i > 0 && jobs[i].arrived_ms < jobs[i - 1].arrived_ms)
            jobs[i].arrived_ms = jobs[i - 1].arrived_ms;
    }
    if (n)
        qsort(jobs, n, sizeof(*jobs), by_rank);
}

/* The earliest start that is free of all plans made before. */
static void plan(struct queue_job *j, struct timeline *t, size_t n_hosts)
{
    int64_t *given = NEW_ARRAY(int64_t, n_hosts);

    j->start_ms = timeline_find(t, j->ranks, j->threads, j->left_ms, given);
    if (j->start_ms != TIMELINE_EVER)
        timeline_take(t, j->start_ms, j->left_ms, given, j->threads);
    if (j->start_ms == 0)
        j->given = given;
    else
        free(given);
}

static int by_end(const void *a, const void *b)
{
    const struct queue_running *const *x = a, *const *y = b;

    return ((*x)->left_ms > (*y)->left_ms) - ((*x)->left_ms < (*y)->left_ms);
}

/* What running jobs leave, and when. One whose time is over is about to end. */
static struct timeline *future(const struct queue_running *running, size_t n_running,
                               const struct place_host *hosts, size_t n_hosts)
{
    const struct queue_running **ends = NEW_ARRAY(const struct queue_running *, n_running);
    struct timeline *t = timeline_new(hosts, n_hosts);

    for (size_t i = 0; i < n_running; i++)
        ends[i] = &running[i];
    if (n_running)
        qsort(ends, n_running, sizeof(*ends), by_end);
    for (size_t i = 0; i < n_running && ends[i]->left_ms != TIMELINE_EVER; i++)
        timeline_release(t, ends[i]->left_ms > 1 ? ends[i]->left_ms : 1, ends[i]->ranks,
                         ends[i]->threads);
    free(ends);
    return t;
}

void queue_decide(struct queue_job *jobs, size_t n, const struct queue_running *running,
                  size_t n_running, const struct place_host *hosts, size_t n_hosts)
{
    struct timeline *t = future(running, n_running, hosts, n_hosts);
    size_t waiting = 0;
    bool held = false;

    for (size_t i = 0; i < n; i++) {
        struct queue_job *j = &jobs[i];

        j->start_ms = TIMELINE_EVER;
        if (held || waiting == QUEUE_DEPTH || j->ranks > place_capacity(hosts, n_hosts, j->threads))
            continue;
        plan(j, t, n_hosts);
        held = j->start_ms == TIMELINE_EVER;
        waiting += j->start_ms != 0;
    }
    timeline_free(t);
}
