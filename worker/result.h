/* What is written about a run besides its metrics: result.json at its end, timing.jsonl on the way. Rank 0
 * only. */
#ifndef WORKER_RESULT_H
#define WORKER_RESULT_H

#include "worker/state.h"

bool result_write_training(const struct session *s, const struct run_state *st,
                           int64_t resumed_from, int64_t steps_executed, bool other_isa,
                           struct error *err);
bool result_write_class_means(const struct session *s, struct error *err);
bool result_write_evaluation(const struct session *s, const double sums[SUM_COUNT],
                             struct error *err);

void result_time_start(const struct session *s, int64_t resumed_from);
/* Arrays of one number a rank: training samples of this epoch, peak memory in MB, seconds in collectives
 * since the start. */
void result_time_epoch(const struct session *s, int64_t step, int64_t epoch, double seconds,
                       const double *samples, const double *rss_mb, const double *waiting_s);

#endif
