/* Where a training run stands, and how it is kept: everything that the rest of the run depends on, and
 * nothing that may differ between two runs of the same job. */
#ifndef WORKER_STATE_H
#define WORKER_STATE_H

#include "worker/norms.h"
#include "worker/session.h"

struct run_state {
    int64_t step;                 /* finished steps */
    double epoch_sums[SUM_COUNT]; /* over the training samples of the unfinished epoch */
    int64_t epoch_samples;
    struct norms norms, teacher_norms; /* likewise */
    double last_sums[SUM_COUNT];       /* the same of the last finished epoch */
    int64_t last_samples;
    double val_sums[SUM_COUNT],
        eval_sums[SUM_COUNT]; /* of the last evaluation; eval: the test set */
    int64_t eval_step;        /* when it was; -1: never */
    double best_top1;         /* percent, of the validation set where there is one */
    double best_test_top1;    /* of the same student on the test set */
    int64_t best_step;        /* -1: no evaluation yet */
    int64_t metrics_bytes;    /* of metrics.jsonl at this step */
};

/* Rank 0: writes checkpoints/step-*. Removes older ones beyond the job's `keep`. */
bool state_save(const struct session *s, const struct run_state *st, struct error *err);

/* All ranks: finds what to go on from (resume: "auto", "never" or a path) and loads it. *resumed_from is
 * the step, or -1 when the run starts from the beginning. ERR_INVALID or ERR_DATA when the checkpoint is
 * of another job, teacher, data set or class means, or of another instruction set (unless
 * allow_other_isa). */
bool state_load(struct session *s, const char *resume, bool allow_other_isa, struct run_state *st,
                int64_t *resumed_from, struct error *err);

/* A student as it was after a step: the replica's regions, or copies of them. */
struct student {
    const float *params, *buffers;
    int64_t step;
};
/* As it is now; borrowed, until the next step. */
struct student state_student(const struct session *s, const struct run_state *st);

/* Rank 0: the student alone, under PyTorch's names. The metadata says model, classes, image size and
 * normalisation, and the hashes of job, data and teacher. */
bool state_save_student(const struct session *s, const struct student *student, const char *name,
                        struct error *err);

#endif
