/* From a graph to a plan, by a table of passes. All checks, layouts and addresses are settled here, so
 * that running a plan cannot fail. */
#ifndef WORKER_ENGINE_PASSES_COMPILE_H
#define WORKER_ENGINE_PASSES_COMPILE_H

#include "worker/engine/plan/flat.h"
#include "worker/engine/plan/plan.h"

/* Sees the graph after each pass; look NULL: nobody does. */
struct compile_observer {
    void (*look)(void *arg, const char *title, const char *pass, const struct graph *g);
    void *arg;
};

/* In which numbers a frozen net's convolutions compute. */
enum precision {
    PRECISION_FLOAT32,
    PRECISION_OBSERVED, /* float32, with the outputs range/0, range/1, ...: of each sample, the greatest
                           magnitude of a value that int8 would have in bytes */
    PRECISION_INT8
};

struct compile_options {
    struct backend *backend;
    /* Addresses of parameters, buffers and gradients; entries that are missing are added in the order
     * of this graph. Shared by all plans of one model. May be NULL for a graph without any. */
    struct flat *flat;
    enum convolution convolution; /* of all convolutions of the graph */
    enum precision precision;
    const float *ranges; /* of PRECISION_INT8: n_ranges, as observed; NULL: all are 1 */
    size_t n_ranges;
    const char *title; /* of the plan, for people; NULL: none */
    struct compile_observer observer;
};

/* Takes the graph (released in any case). NULL with err, which names pass and node. */
struct plan *compile(struct graph *take_graph, const struct compile_options *options,
                     struct error *err);

/* The same up to a pass (its name), for tests: the graph's dump after it. free(); NULL with err. */
char *compile_dump(struct graph *take_graph, const struct compile_options *options,
                   const char *last_pass, struct error *err);

/* The i-th pass by name; NULL behind the last. */
const char *compile_pass(size_t i);

#endif
