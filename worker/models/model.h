/* Networks by name. A model is a function that appends its layers to a graph, and a row. */
#ifndef WORKER_MODELS_MODEL_H
#define WORKER_MODELS_MODEL_H

#include "worker/models/net.h"

enum {
    MODEL_MAX_TAPS = 8
};

/* features: what enters the last linear layer (paper.md 1.6). Taps: stage outputs after and before
 * their ReLU, the stem first (there both are the same value). */
struct model_outputs {
    value_id logits, features;
    value_id taps[MODEL_MAX_TAPS], preact_taps[MODEL_MAX_TAPS];
    int n_taps;
};

struct model_def {
    const char *name;
    /* image is [B,3,S,S]. A failure stays in the graph. */
    void (*build)(const struct net *n, const struct model_def *def, value_id image, int64_t classes,
                  struct model_outputs *out);
    int depth, width; /* read by the family */
};

extern const struct model_def model_registry[];
extern const size_t model_registry_len;
const struct model_def *model_find(const char *name, struct error *err); /* ERR_INVALID, or NULL */

/* resnet.c */
void resnet_build(const struct net *n, const struct model_def *def, value_id image, int64_t classes,
                  struct model_outputs *out);

/* The throw-away head that maps student features to the teacher's width (paper.md 1.7): batch norm,
 * dropout, linear. mask holds 0 or 1/(1-p) for each feature; NO_VALUE leaves dropout out. */
value_id projector_build(const struct net *n, value_id features, value_id mask, int64_t width);

/* First values of one tensor (paper.md 3.2): convolutions normal with fan-out (fusions: uniform in
 * sqrt(3/fan_in), their gates in 1/sqrt(fan_in); paper.md 1.9), batch norm 1 and 0,
 * linear weights and biases uniform in 1/sqrt(fan_in), a projector's bias 0. Keyed by seed and name. */
void init_tensor(const char *name, enum param_role role, const struct shape *s, int64_t fan_in,
                 uint64_t seed, float *out);

#endif
