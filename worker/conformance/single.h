/* A plan for one case: compiled on the case's back end, with memory for everything it reads and
 * writes. */
#ifndef WORKER_CONFORMANCE_SINGLE_H
#define WORKER_CONFORMANCE_SINGLE_H

#include "worker/engine/passes/compile.h"

struct single {
    struct backend *backend;
    struct plan *plan;
    struct flat flat;
    void *arena;
    float *params, *buffers, *grads;
};

/* Takes the graph. */
bool single_open(struct single *s, struct graph *take_graph, const char *backend,
                 struct error *err);
void single_close(struct single *s);
/* Copies into an input; missing ones (pruned) are ignored. */
void single_set(struct single *s, const char *name, const void *data);
void single_run(struct single *s);
/* A result as doubles; free(). NULL if there is none of that name. */
double *single_get(const struct single *s, const char *name, size_t *n);

#endif
