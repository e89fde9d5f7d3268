/* Objects of one size, close together. Whoever looks at each of thousands that lie anywhere in the heap mostly waits
 * for page tables: the scheduler's walk over 10,000 active jobs took 2.1 ms, and 0.75 when those came from a pool
 * (their struct job still lies anywhere).
 *
 * A zeroed pool is empty. Memory that was given back is for the pool's next objects; only pool_free returns it. */
#ifndef PROTO_BASE_POOL_H
#define PROTO_BASE_POOL_H

#include "proto/base/vec.h"

struct pool {
    void *returned; /* a list: each begins with the next one */
    VEC(char *) chunks;
    size_t left; /* objects that the newest chunk still has */
};

/* Zeroed. Of one pool always the same size. */
void *pool_take(struct pool *p, size_t size);
void pool_give(struct pool *p, void *object);
/* All has been given back. */
void pool_free(struct pool *p);

#endif
