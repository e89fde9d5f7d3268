/* The two ways to be a group of ranks, behind one table. */
#ifndef WORKER_COLLECTIVE_BACKEND_H
#define WORKER_COLLECTIVE_BACKEND_H

#include "worker/collective/coll.h"

struct coll_def {
    void (*close)(struct coll *c);
    float *(*region_open)(struct coll *c, size_t n, struct error *err);
    void (*region_close)(struct coll *c);
    void (*tree_sum)(struct coll *c, size_t from, size_t to);
    void (*tree_begin)(struct coll *c, size_t to);
    void (*tree_final)(struct coll *c, size_t from);
    void (*tree_end)(struct coll *c);
    void (*merge_table)(struct coll *c, double *table, size_t n);
    void (*sum_i128)(struct coll *c, __int128 *v, size_t n);
    void (*sum_i64)(struct coll *c, int64_t *v, size_t n);
    void (*bcast)(struct coll *c, void *data, size_t bytes, int root);
    void (*abort)(struct coll *c, int status); /* does not return */
};

struct coll {
    const struct coll_def *def;
    int rank, size;
    double seconds;
    double communication_s, hidden_s; /* of ordered sums; in the background, until tree_end */
};

struct coll *coll_local_open(void);
struct coll *coll_mpi_open(struct error *err);

#endif
