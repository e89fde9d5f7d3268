#include "daemon/place.h"

#include <string.h>

/* Of two hosts the one that leaves least over, else the one that takes most. */
static bool is_better(int64_t room, int64_t than, int64_t left)
{
    return than < left ? room > than : room >= left && room < than;
}

static size_t pick(const struct place_host *hosts, size_t n, int64_t left, int64_t threads,
                   const int64_t *given)
{
    size_t best = n;
    int64_t best_room = 0;

    for (size_t i = 0; i < n; i++) {
        int64_t room = given[i] ? 0 : hosts[i].free / threads;

        if (room > 0 && is_better(room, best_room, left)) {
            best = i;
            best_room = room;
        }
    }
    return best;
}

bool place_ranks(const struct place_host *hosts, size_t n, int64_t ranks, int64_t threads,
                 int64_t *given)
{
    memset(given, 0, n * sizeof(*given));
    for (int64_t left = ranks; left > 0;) {
        size_t at = pick(hosts, n, left, threads, given);
        int64_t room;

        if (at == n) {
            memset(given, 0, n * sizeof(*given));
            return false;
        }
        room = hosts[at].free / threads;
        given[at] = room < left ? room : left;
        left -= given[at];
    }
    return true;
}

int64_t place_capacity(const struct place_host *hosts, size_t n, int64_t threads)
{
    int64_t ranks = 0;

    for (size_t i = 0; i < n; i++)
        ranks += hosts[i].slots / threads;
    return ranks;
}
