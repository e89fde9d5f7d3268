/* What the files of the last pass share. */
#ifndef WORKER_ENGINE_PASSES_PLACE_H
#define WORKER_ENGINE_PASSES_PLACE_H

#include "worker/engine/passes/pass.h"

enum phase {
    PHASE_ONCE,
    PHASE_PARAMS,
    PHASE_RUN
};

struct placing {
    struct graph *g;
    struct backend *backend;
    struct flat *flat;
    struct plan *plan;
    size_t n;                /* values */
    enum phase *phase;       /* of each value */
    value_id *root;          /* of each value */
    int *first, *last;       /* of each root: nodes during which it is alive; first -1: never */
    struct place *place;     /* of each root */
    struct kernel **kernels; /* of each node; NULL for views */
};

/* Views make no step. */
bool place_is_view(const struct node *n);
size_t place_bytes(const struct placing *p, value_id v);
/* Rounded up to what memory_plan keeps. */
size_t place_aligned(size_t bytes);
enum phase place_phase(const struct placing *p, const struct node *n);

/* steps.c: runs what runs once, and makes steps of the other nodes. scratch_offset of each node. */
bool place_make_steps(struct placing *p, const size_t *scratch_offset, struct error *err);

#endif
