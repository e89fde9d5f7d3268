/* Compiles a graph on some back end, fills its inputs from a seed, runs it, and hands out values as
 * doubles: what the tests of operators, losses and passes share. */
#ifndef TESTS_OPS_RIG_H
#define TESTS_OPS_RIG_H

#include "worker/engine/passes/compile.h"

struct rig {
    struct backend *backend;
    struct plan *plan;
    struct flat flat; /* of parameters and buffers, where the graph has some */
    void *arena, *params, *buffers, *grads;
};

/* Takes the graph. Fails the test when it does not compile. */
void rig_open(struct rig *r, struct graph *take_graph, const char *backend);
void rig_open_threads(struct rig *r, struct graph *take_graph, const char *backend, int threads);
void rig_close(struct rig *r);

/* Random inputs: reals at least 0.05 away from 0 (no kink of Relu or Max nearby), labels below 3; names
 * that begin with '+' get positive values. The same seed gives the same values on any back end. */
void rig_fill(struct rig *r, uint64_t seed);
void rig_run(struct rig *r);

size_t rig_count(const struct rig *r, int io);
double rig_get(const struct rig *r, int io, size_t i);
void rig_set(struct rig *r, int io, size_t i, double x);
/* The same for an input or output by its name, which must exist. */
int rig_io(const struct rig *r, const char *name);
/* Element i of a region of the rig (params, buffers, grads). */
double rig_region_get(const struct rig *r, const void *region, size_t i);
void rig_region_set(const struct rig *r, void *region, size_t i, double x);

#endif
