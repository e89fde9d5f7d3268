/* Loss terms. Each is one file and one row: its function appends nodes and returns one value a sample,
 * [B], whose mean over the global batch is the term. The trainer sums them (in double, in a fixed
 * order), weighs them, and seeds the backward pass with weight * ramp / batch.
 *
 * B is the lane's share of the batch. A term that depends on more than one sample is defined over the
 * lane, and every sample of the lane has its value: so the sum over lanes weighs each by its size. One that
 * reads logits alone may take the field `scope`: with "batch" it is built for the whole batch (whole.h). */
#ifndef WORKER_LOSSES_LOSS_H
#define WORKER_LOSSES_LOSS_H

#include "proto/base/table.h"
#include "worker/engine/ir/graph.h"
#include "worker/models/model.h"

/* Which of a stage's outputs is compared: after its ReLU or before (numbers of job.proto's Tap). */
enum loss_tap {
    TAP_POST,
    TAP_PRE
};

/* What a loss that compares samples with each other is defined over (numbers of job.proto's Scope). */
enum loss_scope {
    SCOPE_LANE,
    SCOPE_BATCH
};

/* Fields of LossSpec beyond those that every loss has, by their names there; what they mean, and their
 * defaults, stand in job.proto. */
struct loss_params {
    double temperature, label_smoothing, alpha, beta, gamma, tau, norm_step, norm_target;
    double student_taps, teacher_taps; /* enum loss_tap */
    double mid_width;                  /* 0: left out */
    double layer;
    double scope; /* enum loss_scope */
};

struct loss_param {
    const char *name;
    size_t offset; /* in struct loss_params, a double */
};
extern const struct loss_param loss_param_table[];
extern const size_t n_loss_params;

/* B samples, C classes, D features. What a job does not have is NO_VALUE, and no loss of it asks for it. */
struct loss_args {
    struct model_outputs student, teacher; /* the teacher's are inputs */
    value_id features;                     /* [B,D], the student's, behind the projector if any */
    value_id labels;                       /* [B] */
    value_id directions;                   /* [C,D]: class means, each divided by its norm */
    const struct loss_params *params;
};

/* What a term reads besides what the student gives, and labels. */
enum loss_uses {
    USES_TEACHER_LOGITS = 1,
    USES_TEACHER_FEATURES = 2, /* compares features: a projector where widths differ */
    USES_CLASS_MEANS = 4,      /* likewise */
    USES_TEACHER_TAPS = 8
};

struct loss_def {
    const char *name;
    unsigned uses;
    const char *params; /* of loss_param_table, comma-separated: those that it reads */
    /* A failure stays in the graph. */
    value_id (*build)(struct graph *g, const struct loss_args *a);
    /* What makes the term useless for so many classes, or in a lane of so many samples: a sentence, or
     * NULL. */
    const char *(*doubt)(int64_t classes, int64_t lane);
};

extern const struct loss_def loss_ce, loss_kd, loss_dkd, loss_dist, loss_reviewkd, loss_nd,
    loss_cosine, loss_infonce, loss_sifn, loss_hafn, loss_l2, loss_norm_l2, loss_hint;

/* All of them, for look-up by name. */
extern const struct loss_def *const loss_registry[];
extern const size_t loss_registry_len;
const struct loss_def *loss_find(const char *name); /* or NULL */

#endif
