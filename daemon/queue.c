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

static bool take_slots(struct queue_job *j, struct place_host *hosts, size_t n_hosts)
{
    int64_t *given = NEW_ARRAY(int64_t, n_hosts);

    if (!place_ranks(hosts, n_hosts, j->ranks, j->threads, given)) {
        free(given);
        return false;
    }
    for (size_t i = 0; i < n_hosts; i++)
        hosts[i].free -= given[i] * j->threads;
    j->given = given;
    return true;
}

void queue_decide(struct queue_job *jobs, size_t n, struct place_host *hosts, size_t n_hosts)
{
    bool held = false;

    for (size_t i = 0; i < n; i++)
        if (!held && !take_slots(&jobs[i], hosts, n_hosts))
            held = jobs[i].ranks <= place_capacity(hosts, n_hosts, jobs[i].threads);
}
