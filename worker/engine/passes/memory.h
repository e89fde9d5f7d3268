/* Where temporaries live: intervals of time packed into one arena. A pure function. */
#ifndef WORKER_ENGINE_PASSES_MEMORY_H
#define WORKER_ENGINE_PASSES_MEMORY_H

#include <stddef.h>

struct interval {
    int first, last; /* steps during which it must exist, both included */
    size_t size;     /* bytes */
    size_t offset;   /* out: bytes from the start of the arena */
};

enum {
    MEMORY_ALIGN = 64
};

/* Greedy by size: the largest first, each at the lowest offset that is free for its whole time.
 * Returns the bytes needed. */
size_t memory_plan(struct interval *v, size_t n);

#endif
