#include "daemon/queue.h"

#include <stdlib.h>

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

int64_t queue_decide(struct queue_job *jobs, size_t n, int64_t slots, int64_t free_slots)
{
    bool held = false;

    for (size_t i = 0; i < n; i++) {
        jobs[i].start = !held && jobs[i].need <= free_slots;
        if (jobs[i].start)
            free_slots -= jobs[i].need;
        else if (jobs[i].need <= slots)
            held = true;
    }
    return free_slots;
}
