/* The graphs of a job: what the student trains on, what it is evaluated with, and the teacher. */
#ifndef WORKER_NETS_H
#define WORKER_NETS_H

#include "worker/losses/loss.h"
#include "worker/models/model.h"

enum {
    NETS_MAX_LOSSES = 16
};

/* Places of what a teacher can give; the taps come in pairs, after the ReLU and before. */
enum {
    TEACHER_LOGITS,
    TEACHER_FEATURES,
    TEACHER_TAPS,
    NETS_MAX_TEACHER_VALUES = TEACHER_TAPS + 2 * MODEL_MAX_TAPS
};

struct nets_loss {
    const struct loss_def *def;
    struct loss_params params;
};

/* The teacher's output NAME is the input teacher_NAME of the student's training. */
struct nets_teacher_value {
    char name[40];      /* logits, features, feats.K, preact_feats.K */
    struct shape shape; /* dim[0], the samples, is 1; rank 0: this teacher has no such output */
    bool read;          /* by some loss */
};

struct nets {
    const struct model_def *student, *teacher; /* either may be NULL */
    int64_t classes, image_size;
    int64_t teacher_width; /* features of the teacher; 0 without one */
    int64_t student_width; /* features of the student; 0 without one */
    bool projector;        /* student features are mapped to the teacher's width */
    bool dropout;          /* the projector has a mask */
    bool mixes;            /* training images are mixed in pairs */
    bool trap;             /* it changes the student's first values: projector_trap */
    struct nets_loss losses[NETS_MAX_LOSSES];
    size_t n_losses;
    struct nets_teacher_value teacher_values[NETS_MAX_TEACHER_VALUES];
    size_t n_teacher_values;
};

/* Widths by building the models once; decides nothing. */
bool nets_measure(struct nets *n, struct error *err);
/* What some loss reads: a union of enum loss_uses. */
unsigned nets_uses(const struct nets *n);
/* Whether a loss, or some loss, is defined over the whole batch: it reads logits alone. */
bool nets_loss_spans_batch(const struct nets_loss *l);
bool nets_span_batch(const struct nets *n);
/* Finds teacher_values, when all the rest is decided. */
bool nets_settle(struct nets *n, struct error *err);
/* Whether some loss reads taps of the teacher. */
bool nets_reads_taps(const struct nets *n);
/* Whether the parameter or buffer is the student's: it is not when it belongs to the projector or to a loss,
 * which are thrown away after training. */
bool nets_in_student(const char *name);

/* The teacher in inference form with its parameters still open. out: logits, features; with taps also those
 * teacher_values that are read. */
struct graph *nets_teacher_graph(const struct nets *n, int64_t batch, bool with_taps);

/* Student in training form, for one lane of `batch` samples, with losses and gradients.
 *   in:  images, labels, teacher_NAME, directions, mask, seed/KIND [batch], seed/logits [batch, classes]; where
 *        images are mixed, partners (labels) and share [batch], direction [batch, width]
 *   out: logits, features, projected, loss/KIND [batch]; gradients and batch statistics to the sinks
 * Inputs that no loss reads are pruned. Losses over the whole batch come in by seed/logits, their gradient. */
struct graph *nets_train_graph(const struct nets *n, int64_t batch);
/* Losses over the whole batch.
 *   in:  logits, teacher_logits [batch, classes], seed/KIND [batch]
 *   out: loss/KIND [batch], grad/logits */
struct graph *nets_batch_graph(const struct nets *n, int64_t batch);
/* Student in inference form. out: logits, features, projected */
struct graph *nets_eval_graph(const struct nets *n, int64_t batch);
/* Any model in inference form with its parameters still open. out: logits, features; with taps also feats.K and
 * preact_feats.K */
struct graph *nets_inference_graph(const struct model_def *model, int64_t batch, int64_t image_size,
                                   int64_t classes, bool with_taps);

/* Reads tensors through this: `out` is filled with the tensor `name` of that shape, or false with err. */
typedef bool (*tensor_fn)(void *arg, const char *name, const struct shape *shape, float *out,
                          struct error *err);
/* Makes every parameter and buffer of an inference graph a constant. Their values are in *all, which has to
 * outlive the graph and the plan made of it; free(), also on failure. */
bool nets_set_constants(struct graph *g, tensor_fn tensor, void *arg, float **all,
                        struct error *err);

#endif
