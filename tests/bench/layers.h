/* One convolution of a network, by whoever computes it. */
#ifndef TESTS_BENCH_LAYERS_H
#define TESTS_BENCH_LAYERS_H

#include "worker/engine/ops/ops.h"

/* What training does with a convolution: in the frozen teacher, and three times in the student. */
enum pass {
    PASS_FROZEN, /* with bias and ReLU */
    PASS_FORWARD,
    PASS_INPUT_GRAD,
    PASS_WEIGHT_GRAD,
    PASS_COUNT
};

struct layer {
    struct shape x, w, y;
    struct conv_attr attr; /* with all that gradients need */
    int count;             /* how often the network has it */
    bool first;            /* it reads images, whose gradient nobody wants */
    double flops;          /* of one pass */
};

/* One pass made ready. Both kinds have random numbers in all that they read. */
struct runner {
    double (*run)(void *state); /* seconds that it took */
    void (*free)(void *state);
    void *state;
    const char *impl; /* which kernel it is */
};

/* layers_engine.c: through the engine, as a graph of one node. */
bool runner_engine(struct runner *r, const struct layer *l, enum pass pass, int threads,
                   struct error *err);
/* layers_onednn.c: oneDNN's direct convolution by itself, in the layouts that it likes best. */
bool runner_onednn(struct runner *r, const struct layer *l, enum pass pass, struct error *err);

#endif
