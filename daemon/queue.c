#include "daemon/queue.h"

#include <stdlib.h>

#include "proto/base/mem.h"

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
