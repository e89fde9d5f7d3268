#include "worker/collective/lane_tree.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

int lane_tree_regions(int lanes)
{
    int n = 1;

    while ((1 << (n - 1)) < lanes)
        n++;
    return n;
}

bool lane_tree_init(struct lane_tree *t, int lanes, size_t n, struct error *err)
{
    *t = (struct lane_tree){.lanes = lanes, .n = n, .n_regions = lane_tree_regions(lanes)};
    t->regions = NEW_ARRAY(float *, (size_t)t->n_regions);
    for (int i = 0; i < t->n_regions; i++) {
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
    for (int i = 0; t->regions && i < t->n_regions; i++)
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

float *lane_tree_push(struct lane_tree *t)
{
    t->used++;
    /* Lane number `done` closes as many pairs as its number has trailing ones. */
    for (int carry = t->done; carry & 1; carry >>= 1) {
        float *a = t->regions[t->used - 2];
        const float *b = t->regions[t->used - 1];

        for (size_t i = 0; i < t->n; i++)
            a[i] += b[i];
        t->used--;
    }
    t->done++;
    return t->done == t->lanes ? t->regions[0] : NULL;
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
