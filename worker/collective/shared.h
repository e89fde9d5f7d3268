/* A region of floats in each rank of a host, seen by all ranks of that host, and their sum in tree order
 * without a copy: every rank sums a part of the elements, straight from the regions of all, and writes the
 * sums into all of them. Each element is read once and written once for each region, whatever the number of
 * ranks, and no two ranks touch the same element between two meetings.
 *
 * The memory has no name in the file system: nothing stays behind whatever is killed, and no limit of a
 * mounted folder (/dev/shm) counts. Peers open it through /proc. Knows no MPI: whoever uses it carries the
 * cards from rank to rank. */
#ifndef WORKER_COLLECTIVE_SHARED_H
#define WORKER_COLLECTIVE_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

/* What a peer needs to know to open a region. */
struct shared_card {
    int64_t pid, fd;
    uint64_t
        nonce; /* stands in the region, too: a process of that number on another host has another */
};

struct shared_head;
struct shared {
    int rank, size; /* in the host */
    size_t n;       /* floats of a region */
    struct shared_head **heads;
    float **parts; /* the region of each rank, as this process sees it */
    float *scratch;
    uint64_t meetings;
    int fd;
    /* Called again and again while this rank waits for others; it may end the process. NULL is fine. */
    void (*idle)(void *arg);
    void *idle_arg;
};

/* This rank's region, zeros, with its pages reserved. */
bool shared_create(struct shared *m, size_t n, struct shared_card *card, struct error *err);
/* The regions of the ranks of this host by their cards; size is a power of two. */
bool shared_join(struct shared *m, const struct shared_card *cards, int rank, int size,
                 struct error *err);
void shared_close(struct shared *m); /* what is all zero is fine; peers keep what they see */
float *shared_region(const struct shared *m);

/* Returns when all ranks of the host have called it; what they wrote before is seen. */
void shared_meet(struct shared *m);

/* The part of [from, to) that this rank sums: [*lo, *hi). */
void shared_share(const struct shared *m, size_t from, size_t to, size_t *lo, size_t *hi);
/* Between two meetings: the sum of all regions over [lo, hi), in this rank's region alone or in all. */
void shared_sum_own(struct shared *m, size_t lo, size_t hi);
void shared_sum_all(struct shared *m, size_t lo, size_t hi);
/* Puts [lo, hi) of this rank's region into all others. */
void shared_spread(struct shared *m, size_t lo, size_t hi);

#endif
