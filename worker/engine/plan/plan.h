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

/* What a step reads or writes. */
struct step_value {
    struct shape shape;
    enum dtype dtype;
    int layout;
    size_t bytes;
};

struct step {
    struct kernel *kernel;
    const char *op; /* of the registry */
    char *layer;    /* the node's name; "" for most of what passes append */
    char *text;     /* the node as the dump shows it */
    int n_in, n_out;
    struct step_value values[NODE_MAX_IN + NODE_MAX_OUT]; /* inputs, outputs */
    struct place args[NODE_MAX_IN + NODE_MAX_OUT + 1];    /* the same, then scratch */
    size_t live_bytes;                                    /* of the arena while it runs */
    double flops;                                         /* multiplications and additions */
    size_t final_from; /* gradients of parameters from this element on are final when it has run */
};

/* A tenant of the arena at its fullest. */
struct plan_alive {
    char *text; /* the node that makes the value, or whose scratch it is */
    size_t bytes;
};

struct plan_io {
    char *name;
    enum dtype dtype;
    struct shape shape;
    bool is_output;
    size_t bytes;
    void *bound;
};

/* Who is told, after each step, from which element on gradients of parameters are final. */
struct grads_listener {
    void (*final)(void *arg, size_t from); /* NULL: nobody */
    void *arg;
};

/* The first value that was not finite. */
struct nonfinite {
    bool found;
    char text[600]; /* which node or input, which element */
};

struct plan_clock;

struct plan {
    char *title;
    struct backend *backend;  /* borrowed */
    VEC(struct step) prepare; /* once for each change of the parameters */
    VEC(struct step) steps;   /* each run */
    VEC(struct plan_io) io;
    void *base[REGION_COUNT];
    size_t arena_bytes, fixed_bytes;
    size_t arena_sum;  /* what the temporaries would take without sharing */
    size_t peak_bytes; /* greatest live_bytes */
    int peak_step;
    VEC(struct plan_alive) alive; /* at the peak, the largest first */
    bool stale;                   /* parameters changed since it was prepared */
    struct nonfinite *watch;      /* NULL: nobody looks */
    struct plan_clock *clock;     /* NULL: nobody measures */
    struct grads_listener grads;
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

/* Computes what depends on parameters alone. */
void plan_prepare(struct plan *p);
/* After the parameters changed: the next run begins with that. */
void plan_stale(struct plan *p);
void plan_run(struct plan *p);
/* Only up to the step that writes this output. Outputs of later steps are undefined. */
void plan_run_to(struct plan *p, int io);

/* watch.c: from now on a run looks at its inputs and at all that its steps write, and notes the first value
 * that is not finite, unless one was found already. NULL: no longer. */
void plan_watch(struct plan *p, struct nonfinite *first);
void plan_watch_inputs(const struct plan *p);
void plan_watch_step(const struct plan *p, const struct step *s, void *const *args);

#endif
