/* What the ranks of a job do together. Every function is called by all ranks in the same order, by one
 * thread each, and returns when its result is there.
 *
 * Sums do not depend on the number of ranks: floats follow one binary tree, tables have one owner an
 * entry, fixed-point numbers are exact. With MPI a thread of its own makes every MPI call, from start to
 * end: it tests and sleeps, so a waiting rank leaves its core to others. */
#ifndef WORKER_COLLECTIVE_COLL_H
#define WORKER_COLLECTIVE_COLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

struct coll;

/* Alone, or all processes that one mpirun started: told by the launcher's environment, so that a
 * program started by hand needs no MPI at all. */
struct coll *coll_open(struct error *err);
void coll_close(struct coll *c); /* NULL is fine */

/* What the launcher calls this process, before the group is there; 0 without a launcher. */
int coll_launched_rank(void);

int coll_rank(const struct coll *c);
int coll_size(const struct coll *c);

/* Where the terms of ordered sums lie, and then the sums: n floats, zeros, the same n on all ranks; ranks of
 * one host see each other's, so many of them as DISTILLD_SHARED_RANKS says, if it is set (1: none). One at a
 * time; it stays the group's. NULL on ranks that have no memory for it. */
float *coll_region_open(struct coll *c, size_t n, struct error *err);
void coll_region_close(struct coll *c);

/* Floats [from, to) of the region := the sum over ranks in tree order: ((0 + 1) + (2 + 3)) + ... The number
 * of ranks is a power of two. With whole subtrees of lanes on each rank this continues the tree inside a
 * rank. */
void coll_tree_sum(struct coll *c, size_t from, size_t to);

/* The same of [0, to) while it is still being filled, from its end on: as soon as the floats of a bucket are
 * final on all ranks they are summed in the background, and nothing but coll_tree_* may be called until
 * coll_tree_end, which says that all are final and waits for the sums. The same bits. */
enum {
    COLL_BUCKET = 1 << 17 /* floats */
};
void coll_tree_begin(struct coll *c, size_t to);
void coll_tree_final(struct coll *c, size_t from); /* [from, to) is final */
void coll_tree_end(struct coll *c);

/* Each entry is non-zero on at most one rank; afterwards all ranks have all entries, bit for bit. */
void coll_merge_table(struct coll *c, double *table, size_t n);
/* Exact sums of 128-bit and 64-bit integers. */
void coll_sum_i128(struct coll *c, __int128 *v, size_t n);
void coll_sum_i64(struct coll *c, int64_t *v, size_t n);
void coll_bcast(struct coll *c, void *data, size_t bytes, int root);

/* True on all ranks if ok on all; else false everywhere, with the error of the lowest rank that failed
 * ("rank 2: ..." where it is another one). */
bool coll_agree(struct coll *c, bool ok, struct error *err);

/* Ends all ranks at once with this exit status. From any thread. */
_Noreturn void coll_abort(struct coll *c, int status);

/* Seconds spent inside these functions so far: communication and waiting for other ranks. */
double coll_seconds(const struct coll *c);
/* Of ordered sums so far: seconds from when the ranks of the host had come, and which of them passed while
 * this rank still computed. Other hosts' lateness counts as communication. */
double coll_communication_s(const struct coll *c);
double coll_hidden_s(const struct coll *c);

#endif
