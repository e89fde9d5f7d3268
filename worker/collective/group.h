/* Inside the group of an MPI job: mpi.c has the comm thread and what MPI does by itself, mpi_sum.c the
 * ordered sum. */
#ifndef WORKER_COLLECTIVE_GROUP_H
#define WORKER_COLLECTIVE_GROUP_H

#include <mpi.h>
#include <pthread.h>
#include <stdatomic.h>

#include "proto/base/chan.h"
#include "worker/collective/backend.h"
#include "worker/collective/shared.h"

struct request {
    void (*run)(struct request *r);
    struct mpi *m;
    void *data;
    size_t n;
    int root;
};

/* A sum that runs while its terms are still being made, from the end of the region on. */
struct stream {
    struct request request;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    size_t final;    /* guarded by lock: floats from here on are final */
    double waited_s; /* guarded by lock: since when the computing thread waits; 0: it does not */
};

struct mpi {
    struct coll base;
    pthread_t thread;
    struct chan *requests, *done;
    atomic_int abort_status; /* non-zero: end everything */
    struct stream stream;
    float *region;
    size_t n;             /* floats of the region */
    struct shared shared; /* which the ranks of a host share; size 0 where each has its own */
    /* Of the comm thread alone: */
    MPI_Datatype i128;
    MPI_Op i128_sum;
    float *received; /* what a partner sends in the tree */
};

/* Hands one request to the comm thread and waits for it. */
void group_perform(struct mpi *m, void (*run)(struct request *r), void *data, size_t n, int root);
/* Comm thread: waits for requests, two at most. */
void group_finish(struct mpi *m, int n, MPI_Request *requests);
/* Ends everything where that was asked for and this is the comm thread; arg: struct mpi. */
void group_check_abort(void *arg);

/* mpi_sum.c, as in backend.h. */
float *group_region_open(struct coll *c, size_t n, struct error *err);
void group_region_close(struct coll *c);
void group_tree_sum(struct coll *c, size_t from, size_t to);
void group_tree_begin(struct coll *c, size_t to);
void group_tree_final(struct coll *c, size_t from);
void group_tree_end(struct coll *c);

#endif
