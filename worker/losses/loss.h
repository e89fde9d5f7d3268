/* Loss terms. Each is one file and one row: its function appends nodes and returns one value a sample,
 * [B], whose mean over the global batch is the term. The trainer sums them (in double, in a fixed
 * order), weighs them, and seeds the backward pass with weight * ramp / batch. */
#ifndef WORKER_LOSSES_LOSS_H
#define WORKER_LOSSES_LOSS_H

#include "proto/base/table.h"
#include "worker/engine/ir/graph.h"

/* B samples, C classes, D features. What a term does not use may be NO_VALUE. */
struct loss_args {
    value_id logits;           /* [B,C], the student's */
    value_id features;         /* [B,D], the student's, behind the projector where there is one */
    value_id labels;           /* [B] */
    value_id teacher_logits;   /* [B,C] */
    value_id teacher_features; /* [B,D] */
    value_id directions;       /* [C,D]: class means, each divided by its norm */
    bool mixed;                /* images are mixtures of two classes, */
    value_id direction; /* and this [B,D] is that of the centre which is mixed as the image is */
    double temperature;
};

/* What a term reads besides logits and labels. */
enum loss_uses {
    USES_TEACHER_LOGITS = 1,
    USES_TEACHER_FEATURES = 2, /* compares features: a projector where widths differ */
    USES_CLASS_MEANS = 4,
};

struct loss_def {
    const char *name;
    unsigned uses;
    const char *params; /* fields of LossSpec beyond weight and ramp_epochs, comma-separated */
    value_id (*build)(struct graph *g, const struct loss_args *a);
};

/* [B,D]: where each sample is to point. A term that reads labels by themselves is built for both classes of a
 * mixed image, and its values are weighed (nets.c). */
value_id loss_direction(struct graph *g, const struct loss_args *a);

extern const struct loss_def loss_ce, loss_kd, loss_nd;

/* All of them, for look-up by name. */
extern const struct loss_def *const loss_registry[];
extern const size_t loss_registry_len;
const struct loss_def *loss_find(const char *name); /* or NULL */

#endif
