/* Where parameters and buffers live: each kind in one flat region of floats. Gradients have the layout
 * of the parameters, followed by batch statistics in the layout of the buffers, so that one region is
 * what a lane gives to the tree sum. Entries stand in the order in which the forward pass meets them: the
 * backward pass finishes gradients from the end on, which makes a bucket of gradients a slice. */
#ifndef WORKER_ENGINE_PLAN_FLAT_H
#define WORKER_ENGINE_PLAN_FLAT_H

#include "worker/engine/ir/graph.h"

enum {
    FLAT_ALIGN = 16 /* elements: one cache line of floats */
};

struct flat_entry {
    char *name;
    enum param_role role;
    struct shape shape;
    size_t offset; /* elements from the start of the region */
    size_t count;
};

struct flat {
    VEC(struct flat_entry) params, buffers;
    size_t param_count, buffer_count; /* elements of the regions, padding included */
};

void flat_free(struct flat *f);
/* Finds the value's entry by name, or appends one. */
const struct flat_entry *flat_place(struct flat *f, const struct value *v);
const struct flat_entry *flat_find(const struct flat *f, const char *name); /* or NULL */
/* Elements of a gradient region. */
size_t flat_grad_count(const struct flat *f);
/* Element offset in the gradient region of the slot like that parameter or buffer. */
size_t flat_grad_offset(const struct flat *f, const struct value *like);

#endif
