#include "worker/collective/lane_tree.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/collective/add.h"

int lane_tree_regions(int lanes)
{
    int n = 1;

    while ((1 << (n - 1)) < lanes)
        n++;
    return n;
}

bool lane_tree_init(struct lane_tree *t, int lanes, float *result, size_t n, struct error *err)
{
    *t = (struct lane_tree){.lanes = lanes, .n = n, .n_regions = lane_tree_regions(lanes)};
    t->regions = NEW_ARRAY(float *, (size_t)t->n_regions);
    t->regions[0] = result;
    for (int i = 1; i < t->n_regions; i++) {
        t->regions[i] = mem_try_aligned(64, n * sizeof(float));
        if (!t->regions[i]) {
            lane_tree_free(t);
            return err_set(err, ERR_FAILED, "no memory for gradients of %zu floats", n);
        }
    }
    return true;
}

void lane_tree_free(struct lane_tree *t)
{
    for (int i = 1; t->regions && i < t->n_regions; i++)
        free(t->regions[i]);
    free(t->regions);
    *t = (struct lane_tree){0};
}

float *lane_tree_slot(struct lane_tree *t)
{
    if (t->done == t->lanes)
        t->done = t->used = 0;
    ASSERT(t->used < t->n_regions);
    return t->regions[t->used];
}

/* Lane number `done` closes as many pairs as its number has trailing ones. */
static int pairs_closed(const struct lane_tree *t)
{
    int n = 0;

    while (t->done >> n & 1)
        n++;
    return n;
}

void lane_tree_add(struct lane_tree *t, size_t from, size_t to)
{
    for (int k = 0, pairs = pairs_closed(t); k < pairs; k++) {
        float *a = t->regions[t->used - k - 1] + from;

        add_floats(a, a, t->regions[t->used - k] + from, to - from);
    }
}

void lane_tree_push(struct lane_tree *t)
{
    t->used += 1 - pairs_closed(t);
    t->done++;
}

bool lane_tree_is_last(const struct lane_tree *t)
{
    return t->done == t->lanes - 1;
}

void lane_tree_rows(const double *rows, int lanes, size_t columns, double *sums)
{
    double *left;

    if (lanes == 1) {
        memcpy(sums, rows, columns * sizeof(*sums));
        return;
    }
    left = NEW_ARRAY(double, columns);
    lane_tree_rows(rows, lanes / 2, columns, left);
    lane_tree_rows(rows + (size_t)(lanes / 2) * columns, lanes / 2, columns, sums);
    for (size_t i = 0; i < columns; i++)
        sums[i] = left[i] + sums[i];
    free(left);
}
