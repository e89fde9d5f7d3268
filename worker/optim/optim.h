/* Optimisers over the whole flat region, and learning-rate schedules. Pure functions of their
 * arguments: every rank computes the same update. */
#ifndef WORKER_OPTIM_OPTIM_H
#define WORKER_OPTIM_OPTIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct optim_hyper {
    double lr, weight_decay;
    double momentum; /* sgd */
    bool nesterov;
    double beta1, beta2, epsilon; /* adamw */
    int64_t step;                 /* the number of this step, from 1 */
};

enum {
    OPTIM_MAX_STATES = 3
};

struct optim_def {
    const char *name;
    const char *params; /* fields of OptimizerSpec that it reads, beyond those common to all */
    const char *states[OPTIM_MAX_STATES]; /* names of the state regions, each like the parameters */
    /* state regions start at zero */
    void (*update)(float *param, const float *grad, float *const *state, size_t n,
                   const struct optim_hyper *h);
};
extern const struct optim_def optim_registry[];
extern const size_t optim_registry_len;
const struct optim_def *optim_find(const char *name); /* or NULL */

struct schedule_args {
    const int32_t *milestones; /* epochs, ascending */
    size_t n_milestones;
    double gamma;
    double least; /* cosine: where it ends, as a part of the base rate */
    double warmup_epochs;
    int64_t steps_per_epoch, total_steps;
};

struct schedule_def {
    const char *name;
    const char *params; /* fields of ScheduleSpec that it reads, beyond those common to all */
    /* What the base rate is multiplied with in the step that follows `step` finished ones. */
    double (*factor)(const struct schedule_args *a, int64_t step);
};
extern const struct schedule_def schedule_registry[];
extern const size_t schedule_registry_len;
const struct schedule_def *schedule_find(const char *name); /* or NULL */

/* The learning rate of that step: base x schedule x linear warm-up, which reaches 1 with the last of
 * the warm-up's steps. */
double schedule_lr(const struct schedule_def *def, const struct schedule_args *a, double base,
                   int64_t step);

#endif
