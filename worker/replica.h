/* One rank's copy of all that computes: student, teacher, optimiser, with their plans and regions. It
 * knows batches as arrays, and no file, job or other rank. One thread. */
#ifndef WORKER_REPLICA_H
#define WORKER_REPLICA_H

#include "worker/ckpt/outputs.h"
#include "worker/engine/passes/compile.h"
#include "worker/nets.h"
#include "worker/optim/optim.h"
#include "worker/teacher.h"
#include "worker/whole.h"

/* Sums over samples, in double, in the order of the samples. */
enum sum_index {
    SUM_TOP1, /* samples whose label has the highest logit */
    SUM_TOP5,
    SUM_NORM,         /* |s|, of the features as the losses compare them */
    SUM_TEACHER_NORM, /* |t| */
    SUM_RATIO,        /* |s| / |t| */
    SUM_BELOW,        /* samples with |s| < |t| */
    SUM_COS,          /* cosine of s and the class mean */
    SUM_CE,           /* cross-entropy; in evaluation only */
    SUM_LOSS,         /* SUM_LOSS + k: the k-th loss, unweighted */
    SUM_COUNT = SUM_LOSS + NETS_MAX_LOSSES
};

struct replica_config {
    struct nets nets; /* measured */
    const char *backend;
    int threads;
    enum convolution teacher_convolution, student_convolution;
    enum precision teacher_precision;
    const struct teacher_ranges
        *teacher_ranges;       /* of PRECISION_INT8; NULL: not known, for plans that are only
                                                    looked at */
    int64_t chunk;             /* samples in a chunk of the teacher's and of evaluation */
    const int64_t *lane_sizes; /* the distinct sizes of a training lane; n 0: no training */
    size_t n_lane_sizes;
    int64_t batch_sizes[WHOLE_MAX_SIZES]; /* the distinct sizes of a training batch */
    size_t n_batch_sizes;
    const struct optim_def *optim; /* NULL: no training */
    bool decay_vectors;            /* weight decay for parameters of one dimension, too */
    double dropout;
    uint64_t seed;
    struct compile_observer observer; /* of the passes over all graphs */
};

struct replica {
    struct replica_config cfg;
    struct backend *backend;
    struct flat flat; /* of the student, projector included */
    float *params, *buffers;
    float *state[OPTIM_MAX_STATES];
    struct teacher *teacher;       /* NULL: none, or no longer */
    const struct outputs *outputs; /* what lanes read instead; NULL: nothing */
    struct plan *eval;
    struct plan **train;      /* one for each of lane_sizes */
    struct whole *whole;      /* NULL: no loss is over the whole batch */
    VEC(struct plan *) plans; /* all of them */
    void *arena;
    float *directions; /* classes x teacher_width; zero until set */
    bool has_directions;
    const double *centres; /* classes x teacher_width; NULL until set */
    struct replica_staging *staging;
    double teacher_seconds; /* spent with the teacher so far */
    size_t record_bytes; /* what compiling keeps besides constants: steps, kernels, their tables */
};

struct replica *replica_open(const struct replica_config *cfg, tensor_fn teacher_tensor, void *arg,
                             struct error *err);
void replica_close(struct replica *r); /* NULL is fine */
/* Bytes of the constants of all plans, of the arena that they share, and of the buffers between them. */
size_t replica_constants(const struct replica *r);
size_t replica_arena(const struct replica *r);
size_t replica_staged(const struct replica *r);

/* Initial values of the student, by seed and name. */
void replica_init(struct replica *r);
/* Class-mean directions, classes x teacher_width. */
void replica_set_directions(struct replica *r, const float *unit);
/* What they are the directions of, borrowed: mixed images point to what lies between two of them. */
void replica_set_centres(struct replica *r, const double *centres);
/* From now on lanes take what the teacher gives from here (borrowed): values in the order of nets'
 * teacher_values, those that teacher_makes. The teacher and its memory are given up. */
bool replica_set_outputs(struct replica *r, const struct outputs *outputs, struct error *err);
/* After parameters or buffers changed other than by replica_update. */
void replica_refresh(struct replica *r);

/* What one lane is given, and the weight of each loss in the sum. */
struct lane {
    const float *images;
    const int32_t *labels;
    const int64_t *samples;  /* indexes in the data set, for dropout */
    const int32_t *partners; /* labels that the images are mixed with, where nets mix */
    double share;            /* of an image in its mixture */
    int64_t count;           /* 0: contributes zeros */
    int64_t first, batch;    /* its place in the whole batch, and the samples of that */
    int64_t epoch, view;
    const double *loss_weights; /* as summed, ramp included */
    double *norms;              /* out, count: |s| of each sample */
    double *teacher_norms;      /* out, count: |t|; left alone where losses ask for no teacher */
    struct grads_listener grads_final; /* told while grads is being filled */
};
/* The label that has the greater share of each image. */
const int32_t *replica_labels(const struct replica *r, const struct lane *lane);
/* The teacher's features (count x width) of the lane that was computed last, where losses ask for it. */
const float *replica_teacher_features(const struct replica *r);
/* Forward, backward. grads (flat_grad_count floats) := the lane's share of the gradient of the mean over
 * the batch, and its share of the batch statistics. sums[SUM_COUNT] := sums over its samples. */
void replica_lane(struct replica *r, const struct lane *lane, float *grads, double *sums);

/* Where r->whole is set, before that and for all lanes: forward alone, to put the lane's logits there.
 * scratch has room for gradients. When ranks have been merged, whole_run is due. */
void replica_lane_logits(struct replica *r, const struct lane *lane, float *scratch);

/* While it is set, teacher and training plans note the first value that is not finite (plan.h). */
void replica_watch(struct replica *r, struct nonfinite *first);
/* The parameter whose value, or place in a region of gradients, is the first that is not finite; NULL if
 * all are. */
const char *replica_spoiled(const struct replica *r, const float *region);

/* The optimiser's step and the running statistics (momentum 0.1), from the sum over all lanes. */
void replica_update(struct replica *r, const float *grads, const struct optim_hyper *h);
/* Euclidean norm over all parameters' gradients, in double, in blocks of 65,536. */
double replica_grad_norm(const struct replica *r, const float *grads);

/* One chunk in inference form; images has room for cfg.chunk samples, sums[SUM_COUNT] := sums over
 * `count` of them. teacher_norms holds |t| of each sample, or NULL. */
void replica_eval(struct replica *r, const float *images, const int32_t *labels, int64_t count,
                  const double *teacher_norms, double *sums);
/* The teacher on `count` samples in chunks: logits (count x classes) and features (count x width). */
void replica_teacher(struct replica *r, const float *images, int64_t count, float *logits,
                     float *features);

#endif
