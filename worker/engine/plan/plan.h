/* A graph made ready: steps with all addresses decided. Running it allocates nothing, checks nothing
 * and takes no lock. A plan is used by one thread at a time; plans on one thread share an arena. */
#ifndef WORKER_ENGINE_PLAN_PLAN_H
#define WORKER_ENGINE_PLAN_PLAN_H

#include "proto/base/buf.h"
#include "worker/engine/backend/backend.h"

enum region {
    REGION_ARENA,   /* temporaries; contents are lost between runs */
    REGION_PARAMS,  /* flat.h */
    REGION_BUFFERS, /* flat.h */
    REGION_GRADS,   /* flat.h */
    REGION_FIXED,   /* the plan's own: constants, and what is computed from parameters alone */
    REGION_IO,      /* inputs and outputs, each bound by the caller */
    REGION_COUNT
};

struct place {
    enum region region;
    size_t offset; /* bytes; for REGION_IO the number of the input or output */
};

struct step {
    struct kernel *kernel;
    const char *op; /* of the registry */
    char *text;     /* the node as the dump shows it, with layouts */
    int n_args;
    struct place args[NODE_MAX_IN + NODE_MAX_OUT + 1];
    size_t live_bytes; /* of the arena while it runs */
};

struct plan_io {
    char *name;
    enum dtype dtype;
    struct shape shape;
    bool is_output;
    size_t bytes;
    void *bound;
};

struct plan {
    struct backend *backend;  /* borrowed */
    VEC(struct step) prepare; /* once for each change of the parameters */
    VEC(struct step) steps;   /* each run */
    VEC(struct plan_io) io;
    void *base[REGION_COUNT];
    size_t arena_bytes, fixed_bytes;
    size_t arena_sum;  /* what the temporaries would take without sharing */
    size_t peak_bytes; /* greatest live_bytes */
    int peak_step;
};

void plan_free(struct plan *p); /* NULL is fine */

/* Addresses of regions other than FIXED and IO. The arena needs arena_bytes, aligned to 64. */
void plan_set_region(struct plan *p, enum region region, void *base);
/* The number of an input or output; -1 if there is none of that name. */
int plan_io_find(const struct plan *p, const char *name);
/* Binds memory of io.bytes to an input or output until it is bound again. */
void plan_bind(struct plan *p, int io, const void *data);
/* The same by name; a name that the plan does not have is ignored (pruned inputs). */
void plan_bind_name(struct plan *p, const char *name, const void *data);

/* After the parameters changed and before the next run. */
void plan_prepare(struct plan *p);
void plan_run(struct plan *p);

/* Steps, memory by region, and the values alive at the peak, for people. */
void plan_describe(const struct plan *p, struct buf *out);

#endif
