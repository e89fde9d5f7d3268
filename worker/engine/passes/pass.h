/* What the passes share: one function each, in the order of the table in compile.c. */
#ifndef WORKER_ENGINE_PASSES_PASS_H
#define WORKER_ENGINE_PASSES_PASS_H

#include "worker/engine/passes/compile.h"

struct compiler {
    struct graph *g;
    const struct compile_options *options;
    struct plan *plan; /* made by the last pass */
};

/* Appends the nodes of the gradients that the graph asks for. */
bool pass_autodiff(struct compiler *c, struct error *err);
/* Conv and BatchNormalization with constant parameters -> one Conv; computed in double. */
bool pass_fold_bn(struct compiler *c, struct error *err);
/* Conv with bias, Add, Relu -> FusedConv; BatchNormTrain, Add, Relu -> FusedBatchNormTrain; ReluGrad,
 * BatchNormTrainGrad -> the latter; the Add of complementary PadAxis -> Concat. */
bool pass_fuse(struct compiler *c, struct error *err);
/* Where the options ask for it: outputs that tell ranges of values, or convolutions of bytes. */
bool pass_quantise(struct compiler *c, struct error *err);
/* Removes nodes that no output, sink or seed needs. */
bool pass_prune(struct compiler *c, struct error *err);
/* Chooses layouts and inserts Reorder nodes. */
bool pass_layout(struct compiler *c, struct error *err);
/* Makes kernels, decides addresses, builds the plan. */
bool pass_place(struct compiler *c, struct error *err);

#endif
