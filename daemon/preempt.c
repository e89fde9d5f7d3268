#include "daemon/preempt.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

static int by_worth(const void *a, const void *b)
{
    const struct preempt_victim *x = *(struct preempt_victim *const *)a,
                                *y = *(struct preempt_victim *const *)b;

    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    return (x->ran_ms > y->ran_ms) - (x->ran_ms < y->ran_ms);
}

static void give_back(struct place_host *hosts, size_t n_hosts, const struct preempt_victim *v,
                      int64_t sign)
{
    for (size_t h = 0; h < n_hosts; h++)
        hosts[h].free += sign * v->ranks[h] * v->threads;
}

/* As many as it takes, from the least worth on; how many, or 0 if all are not enough. */
static size_t take(struct preempt_victim **order, size_t n, struct place_host *hosts,
                   size_t n_hosts, int64_t ranks, int64_t threads, int64_t *given)
{
    for (size_t i = 0; i < n; i++) {
        give_back(hosts, n_hosts, order[i], 1);
        if (place_ranks(hosts, n_hosts, ranks, threads, given))
            return i + 1;
    }
    return 0;
}

bool preempt_choose(const struct place_host *hosts, size_t n_hosts, int64_t ranks, int64_t threads,
                    int64_t priority, struct preempt_victim *victims, size_t n)
{
    struct preempt_victim **order = NEW_ARRAY(struct preempt_victim *, n);
    struct place_host *after = NEW_ARRAY(struct place_host, n_hosts);
    int64_t *given = NEW_ARRAY(int64_t, n_hosts);
    size_t candidates = 0, taken = 0;

    memcpy(after, hosts, n_hosts * sizeof(*after));
    for (size_t i = 0; i < n; i++) {
        victims[i].chosen = false;
        if (victims[i].may && victims[i].priority < priority)
            order[candidates++] = &victims[i];
    }
    if (candidates && !place_ranks(hosts, n_hosts, ranks, threads, given)) {
        qsort(order, candidates, sizeof(*order), by_worth);
        taken = take(order, candidates, after, n_hosts, ranks, threads, given);
    }
    for (size_t i = taken; i-- > 0;) {
        /* Perhaps those that came after it are enough. */
        give_back(after, n_hosts, order[i], -1);
        order[i]->chosen = !place_ranks(after, n_hosts, ranks, threads, given);
        if (order[i]->chosen)
            give_back(after, n_hosts, order[i], 1);
    }
    free(given);
    free(after);
    free(order);
    return taken > 0;
}
