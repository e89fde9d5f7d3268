/* Losses over the whole batch (`scope: batch`). What they read is known when all lanes of all ranks have gone
 * forward. So lanes first run for their logits alone; ranks put them together; every rank finds, by the same
 * plan from the same numbers, the losses and their gradient with respect to all logits; and lanes run again,
 * backward from it. One thread. */
#ifndef WORKER_WHOLE_H
#define WORKER_WHOLE_H

#include "worker/engine/passes/compile.h"
#include "worker/nets.h"

enum {
    WHOLE_MAX_SIZES = 2 /* a full batch, and an epoch's last */
};

struct whole {
    const struct nets *nets;
    int64_t sizes[WHOLE_MAX_SIZES];
    struct plan *plans[WHOLE_MAX_SIZES];
    size_t n_sizes;
    size_t bytes; /* of all that follows, for the largest batch of n samples */
    /* 2 x n x classes: the students' logits, then the teacher's. A rank fills the rows of its lanes, the rest
     * is zero, until ranks are merged. */
    double *logits;
    float *student, *teacher; /* the same, as the plans read them */
    float *grads;             /* n x classes: by the student's logits, of the weighed mean */
    float *losses;            /* for each loss of the job n values; those of lanes are left alone */
    float *seeds;
};

/* For batches of these sizes. nets and backend must outlive it. */
struct whole *whole_open(const struct nets *nets, struct backend *backend, const int64_t *sizes,
                         size_t n_sizes, struct compile_observer observer, struct error *err);
void whole_close(struct whole *w); /* NULL is fine */

/* Numbers in w->logits for a batch of n samples. */
size_t whole_count(const struct whole *w, int64_t n);
/* The rows of one lane, count x classes each, of which the first is row `first` of a batch of n. */
void whole_put(struct whole *w, int64_t n, int64_t first, int64_t count, const float *student,
               const float *teacher);
/* Fills grads and losses from the merged logits. */
void whole_run(struct whole *w, int64_t n, const double *loss_weights);

#endif
