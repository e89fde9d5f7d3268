/* The part of the tree sum that lies inside a rank: lanes are finished one after the other, and finished
 * neighbours of equal size are added at once, like carries of a binary counter. So k lanes need at most
 * log2(k) + 1 regions, and the sum is tree(a,b) = tree(a,m) + tree(m,b), never one after the other. */
#ifndef WORKER_COLLECTIVE_LANE_TREE_H
#define WORKER_COLLECTIVE_LANE_TREE_H

#include <stddef.h>

#include "proto/base/error.h"

struct lane_tree {
    float **regions;
    int n_regions, used;
    size_t n; /* floats in a region */
    int lanes, done;
};

/* Regions that so many lanes need. */
int lane_tree_regions(int lanes);
/* lanes is a power of two. The result comes to lie in `result`, n floats, borrowed. Regions start as
 * zeros. */
bool lane_tree_init(struct lane_tree *t, int lanes, float *result, size_t n, struct error *err);
void lane_tree_free(struct lane_tree *t);

/* Where the next lane puts its values; what was there before may remain in places it does not write. */
float *lane_tree_slot(struct lane_tree *t);
/* [from, to) of the slot is filled, and added to what it forms pairs with. In the last lane that part of the
 * result is there. Every part once, in any order. */
void lane_tree_add(struct lane_tree *t, size_t from, size_t to);
/* All parts of the slot were added. */
void lane_tree_push(struct lane_tree *t);
bool lane_tree_is_last(const struct lane_tree *t); /* the lane of the slot */

/* The same tree over rows of a table: sums[i] of rows [0, lanes), a power of two. */
void lane_tree_rows(const double *rows, int lanes, size_t columns, double *sums);

#endif
