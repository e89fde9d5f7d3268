/* Which hosts take the ranks of a job: pure functions of what is free on each. */
#ifndef DAEMON_PLACE_H
#define DAEMON_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct place_host {
    int64_t slots; /* in all; 0 for a host that is down */
    int64_t free;
};

/* Gives given[i] ranks to hosts[i]: all of them or none, a rank's threads on one host, and as few hosts
 * as possible, for what crosses the network is slow. False, and nothing is given, when they do not fit
 * into what is free. */
bool place_ranks(const struct place_host *hosts, size_t n, int64_t ranks, int64_t threads,
                 int64_t *given);
/* How many ranks of so many threads would fit if all slots were free. */
int64_t place_capacity(const struct place_host *hosts, size_t n, int64_t threads);

#endif
