/* What is written about a run besides its metrics: result.json at its end, timing.jsonl on the way. Rank 0
 * only. */
#ifndef WORKER_RESULT_H
#define WORKER_RESULT_H

#include "worker/state.h"

bool result_write_training(const struct session *s, const struct run_state *st,
                           int64_t resumed_from, int64_t steps_executed, bool other_isa,
                           struct error *err);
bool result_write_class_means(const struct session *s, struct error *err);
/* val: not read where nothing is held out. */
bool result_write_evaluation(const struct session *s, const double val[SUM_COUNT],
                             const double test[SUM_COUNT], struct error *err);

void result_time_start(const struct session *s, int64_t resumed_from);
/* What is told of each rank. */
enum rank_figure {
    RANK_SAMPLES,   /* of training in this epoch */
    RANK_RSS_MB,    /* the most that the process had */
    RANK_MEMORY_MB, /* footprint.h: what it has more than before the job was set up, and as planned */
    RANK_PLANNED_MB,
    RANK_TEACHER_S, /* of steps since the start (step.h) */
    RANK_STUDENT_S,
    RANK_UPDATE_S,
    RANK_WAITING_S,       /* in collectives since the start */
    RANK_COMMUNICATION_S, /* of ordered sums since the start, and what of it was hidden (coll.h) */
    RANK_HIDDEN_S,
    RANK_FIGURES
};
/* figures: size numbers of each kind. */
void result_time_epoch(const struct session *s, int64_t step, int64_t epoch, double seconds,
                       const double *figures);

#endif
