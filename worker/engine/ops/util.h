/* What the operator files share. */
#ifndef WORKER_ENGINE_OPS_UTIL_H
#define WORKER_ENGINE_OPS_UTIL_H

#include "worker/engine/ir/op.h"

static inline const struct shape *in_shape(const struct graph *g, const struct node *n, int i)
{
    return graph_shape(g, n->in[i]);
}

static inline void set_shape(struct graph *g, const struct node *n, int k, struct shape s)
{
    g->values.at[n->out[k]].shape = s;
}

/* Reports unless the i-th input has this rank. */
static inline bool need_rank(struct graph *g, const struct node *n, int i, int rank)
{
    char text[SHAPE_TEXT];

    if (in_shape(g, n, i)->rank == rank)
        return true;
    graph_fail(g, ERR_INVALID, "input %d has shape %s; expected %d dimensions", i,
               shape_text(in_shape(g, n, i), text), rank);
    return false;
}

/* Reports unless the i-th input has exactly this shape. */
static inline bool need_shape(struct graph *g, const struct node *n, int i,
                              const struct shape *want)
{
    char got[SHAPE_TEXT], wanted[SHAPE_TEXT];

    if (shape_equal(in_shape(g, n, i), want))
        return true;
    graph_fail(g, ERR_INVALID, "input %d has shape %s; expected %s", i,
               shape_text(in_shape(g, n, i), got), shape_text(want, wanted));
    return false;
}

static inline void set_dtype(struct graph *g, const struct node *n, int k, enum dtype t)
{
    g->values.at[n->out[k]].dtype = t;
}

/* conv.c: the shape that a convolution of the first two inputs gives. Reports if they do not fit. */
struct conv_attr;
bool conv_shape(struct graph *g, const struct node *n, const struct conv_attr *a, struct shape *y);

/* Appends a node with 1, 2 or 3 inputs, or passes NO_VALUE on. */
static inline value_id node1(struct graph *g, const struct op_def *op, value_id a, const void *attr)
{
    return a < 0 ? NO_VALUE : graph_add(g, op, "", (value_id[]){a}, 1, attr);
}

static inline value_id node2(struct graph *g, const struct op_def *op, value_id a, value_id b,
                             const void *attr)
{
    return a < 0 || b < 0 ? NO_VALUE : graph_add(g, op, "", (value_id[]){a, b}, 2, attr);
}

static inline value_id node3(struct graph *g, const struct op_def *op, value_id a, value_id b,
                             value_id c, const void *attr)
{
    return a < 0 || b < 0 || c < 0 ? NO_VALUE
                                   : graph_add(g, op, "", (value_id[]){a, b, c}, 3, attr);
}

#endif
