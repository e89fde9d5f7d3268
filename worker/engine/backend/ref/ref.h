/* The reference: plain loops, in float or double, every operator, plain layouts only. The oracle of all
 * other back ends, and where they have no kernel of their own (small values), their fallback. */
#ifndef WORKER_ENGINE_BACKEND_REF_REF_H
#define WORKER_ENGINE_BACKEND_REF_REF_H

#include "worker/engine/backend/backend.h"

struct ref_kernel;
typedef void (*ref_fn)(const struct ref_kernel *k, void *const *args);

struct ref_kernel {
    struct kernel base;
    ref_fn fn;
    const struct op_def *op;
    void *attr;
    struct shape in[NODE_MAX_IN], out[NODE_MAX_OUT];
    enum dtype in_type[NODE_MAX_IN];
    int n_in;
};

/* ERR_UNSUPPORTED when there is no such kernel. */
struct kernel *ref_kernel_new(const struct graph *g, const struct node *n, bool in_double,
                              struct error *err);
/* Operators that work element by element, for which sharing memory is harmless. */
unsigned ref_inplace(const struct node *n);

#endif
