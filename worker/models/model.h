/* Networks by name. A model is a function that appends its layers to a graph, and a row. */
#ifndef WORKER_MODELS_MODEL_H
#define WORKER_MODELS_MODEL_H

#include "worker/models/net.h"

enum {
    MODEL_MAX_TAPS = 8
};

/* features: what enters the last linear layer (paper.md 1.6). Taps: stage outputs after and before their
 * ReLU, the stem first (there both are the same value, as where a stage has no ReLU). Before the ReLU of
 * a wide ResNet's stage stands the result of the next batch norm. */
struct model_outputs {
    value_id logits, features;
    value_id taps[MODEL_MAX_TAPS], preact_taps[MODEL_MAX_TAPS];
    int n_taps;
};

/* What rows have in common. */
struct model_facts {
    int64_t image_size, classes; /* what the model was made for; it can be built for others */
    const char *prefix;          /* its name may also be written with this in front; or NULL */
};

struct model_def;
/* Appends the model to the net's graph. image is [B,3,S,S]. A failure stays in the graph. */
typedef void model_builder(const struct net *n, const struct model_def *def, value_id image,
                           int64_t classes, struct model_outputs *out);

struct model_def {
    const char *name;
    model_builder *build;
    int depth, width;                /* read by the family */
    const struct model_facts *facts; /* of a row of the registry */
};

extern const struct model_def model_registry[];
extern const size_t model_registry_len;
const struct model_def *model_find(const char *name, struct error *err); /* ERR_INVALID, or NULL */

/* For the families' use. The head is global average pooling, which gives the features, and a linear layer
 * with its first values. */
void model_head(const struct net *n, value_id x, const char *classifier, int64_t classes,
                enum param_role weight, enum param_role bias, struct model_outputs *out);
void model_tap(struct model_outputs *out, value_id after, value_id before);

model_builder resnet_build;          /* depth; width 1, or 4 for the x4 forms */
model_builder resnet_cifar_build;    /* four stages; depth */
model_builder resnet_imagenet_build; /* depth */
model_builder wrn_build;             /* depth, width */
model_builder vgg_build;             /* depth 8 or 13 */
model_builder mobilenetv1_build;
model_builder mobilenetv2_build; /* half as wide */
model_builder mobilenetv2_imagenet_build;
model_builder shufflenetv1_build;
model_builder shufflenetv2_build; /* width in tenths: 2 or 10 */

/* Whether a parameter or buffer is called like those that are trained beside a student and thrown away: the
 * projector's, and what losses bring along. */
bool model_is_thrown_away(const char *name);

/* The throw-away head that maps student features to the teacher's width (paper.md 1.7): batch norm,
 * dropout, linear. mask holds 0 or 1/(1-p) for each feature; NO_VALUE leaves dropout out. */
value_id projector_build(const struct net *n, value_id features, value_id mask, int64_t width);

/* The reference makes the projector's first values by a loop over all modules, the student among them
 * (paper.md 1.7): on CIFAR every linear layer's bias becomes 0, on ImageNet every linear layer starts at
 * N(0, 0.01). Changes the roles of a graph that holds student and projector alone. */
void projector_trap(struct graph *g, bool imagenet);

/* First values of one tensor by its role (paper.md 3.2): convolutions normal with fan-out, or uniform
 * in sqrt(3/fan_in) or 1/sqrt(fan_in) (paper.md 1.9), batch norm 1 and 0, linear weights and biases uniform
 * in 1/sqrt(fan_in) or N(0, 0.01). Keyed by seed and name. */
void init_tensor(const char *name, enum param_role role, const struct shape *s, int64_t fan_in,
                 uint64_t seed, float *out);

#endif
