/* One training step, from a batch to updated parameters: losses and gradients of this rank's lanes, their
 * sum over all lanes of all ranks, the optimiser, the running statistics. It knows no loader, metrics or
 * checkpoint. */
#ifndef WORKER_STEP_H
#define WORKER_STEP_H

#include "worker/collective/lane_tree.h"
#include "worker/data/loader.h"
#include "worker/running_means.h"
#include "worker/session.h"

/* Seconds that this rank spent, added up over all steps since step_open. */
struct step_times {
    double teacher;
    double student;    /* forward and backward, with the sum of the rank's own lanes */
    double collective; /* sums over ranks: communication and waiting for the others */
    double update;
};

struct train_step {
    struct session *s;
    struct lane_tree tree;
    float *grads; /* sums over all lanes of all ranks: of gradients, then of batch statistics */
    size_t final_from; /* parameters whose gradients of the lane have gone up the tree of lanes */
    struct running_means running;
    double *table; /* summed over ranks in one go, and what its parts are: */
    size_t table_length;
    double *stop_requests; /* behind a row of sums for each lane: one for each rank */
    double *wish;          /* for a checkpoint: rank 0 may have one */
    /* What the step gave, on all ranks the same: */
    double *norms, *teacher_norms;   /* |s| and |t| of each sample, in the order of the batch */
    double weights[NETS_MAX_LOSSES]; /* of the losses as summed, ramp included */
    double sums[SUM_COUNT];          /* over the batch */
    double grad_norm;
    enum uplink_stop stop; /* what any rank was asked to do, from then on */
    bool checkpoint_asked; /* for the end of this step */
    struct step_times times;
};

/* For a session with a training job, its parameters and running means restored; borrows it. */
bool step_open(struct train_step *step, struct session *s, struct error *err);
void step_close(struct train_step *step); /* what is all zero is fine */

/* Takes step number hyper->step with the learning rate hyper->lr. All ranks return alike; on failure the
 * parameters are as before: ERR_FAILED "diverged: ..." when loss or gradient is not finite, naming where
 * that began. */
bool step_run(struct train_step *step, const struct batch *b, const struct optim_hyper *hyper,
              struct error *err);

/* The loss as summed, of the batch of n samples that was computed last. */
double step_loss(const struct train_step *step, int64_t n);
/* Whether there are norms of the teacher. */
bool step_compares_norms(const struct train_step *step);

#endif
