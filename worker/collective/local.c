/* A group of one: every sum is already there. */
#include <stdlib.h>

#include "proto/base/mem.h"
#include "worker/collective/backend.h"

static void close_local(struct coll *c)
{
    free(c);
}

static void tree_sum(struct coll *c, float *data, size_t n)
{
    (void)c;
    (void)data;
    (void)n;
}

static void merge_table(struct coll *c, double *table, size_t n)
{
    (void)c;
    (void)table;
    (void)n;
}

static void sum_i128(struct coll *c, __int128 *v, size_t n)
{
    (void)c;
    (void)v;
    (void)n;
}

static void sum_i64(struct coll *c, int64_t *v, size_t n)
{
    (void)c;
    (void)v;
    (void)n;
}

static void bcast(struct coll *c, void *data, size_t bytes, int root)
{
    (void)c;
    (void)data;
    (void)bytes;
    (void)root;
}

static void abort_local(struct coll *c, int status)
{
    (void)c;
    _Exit(status);
}

static const struct coll_def local_def = {
    .close = close_local,
    .tree_sum = tree_sum,
    .merge_table = merge_table,
    .sum_i128 = sum_i128,
    .sum_i64 = sum_i64,
    .bcast = bcast,
    .abort = abort_local,
};

struct coll *coll_local_open(void)
{
    struct coll *c = NEW(struct coll);

    c->def = &local_def;
    c->size = 1;
    return c;
}
