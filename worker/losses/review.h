/* The two parts of ReviewKD (Chen et al. 2021; paper.md 1.9). */
#ifndef WORKER_LOSSES_REVIEW_H
#define WORKER_LOSSES_REVIEW_H

#include "worker/models/net.h"

/* Sizes of an attention-based fusion. */
struct abf_form {
    int64_t mid, out;      /* channels inside, and of what is compared */
    int64_t height, width; /* of what comes out */
};

/* Takes a student's feature map x, and what the next deeper one left (residual; NO_VALUE: x is the deepest).
 * Returns the map to compare with the teacher's; *residual becomes what is left for the next. Parameters:
 * conv1.0, conv1.1, att_conv.0 (where there is a residual), conv2.0, conv2.1. */
value_id abf_build(const struct net *n, const struct abf_form *form, value_id x,
                   value_id *residual);

/* Hierarchical context loss of a map against another of its shape, [B]: the mean square of their difference,
 * as it is and averaged down to 4, 2 and 1 cells a side where that is smaller, weighed 1, 1/2, 1/4, 1/8 in
 * order of use and divided by the sum of these weights. */
value_id hcl_build(struct graph *g, value_id student, value_id teacher);

#endif
