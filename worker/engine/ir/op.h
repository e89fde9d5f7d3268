/* One row per operator: what defines it, and nothing about how a back end computes it. */
#ifndef WORKER_ENGINE_IR_OP_H
#define WORKER_ENGINE_IR_OP_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/engine/ir/attr.h"
#include "worker/engine/ir/graph.h"

struct op_def {
    const char *name; /* of ONNX, or our own where is_private */
    bool is_private;  /* not in ONNX: gradients, fused forms */
    int min_in, max_in, n_out;
    const struct attr_spec *attrs; /* NULL: none */
    size_t attr_size;

    /* Sets shape (and type) of the outputs from those of the inputs, or reports with graph_fail. */
    void (*infer)(struct graph *g, struct node *n);

    /* Appends the nodes that compute din[i] for every i with need[i], from the gradients dout[] of the
     * outputs (NO_VALUE where an output was not used). NULL: the operator has no gradient. */
    void (*grad)(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                 value_id *din);

    /* Multiplications and additions. NULL: none worth counting, its time goes to memory. */
    double (*flops)(const struct graph *g, const struct node *n);
};

static inline double op_flops(const struct graph *g, const struct node *n)
{
    return n->op->flops ? n->op->flops(g, n) : 0;
}

#endif
