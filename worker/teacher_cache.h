/* What of a teacher goes into a file of outputs (ckpt/outputs.h), and how it gets there. */
#ifndef WORKER_TEACHER_CACHE_H
#define WORKER_TEACHER_CACHE_H

#include "worker/ckpt/outputs.h"
#include "worker/teacher.h"

/* Returns how many. */
size_t teacher_outputs_list(const struct nets *n,
                            struct outputs_value values[NETS_MAX_TEACHER_VALUES]);
/* Runs the teacher on `count` images, a chunk, and writes what it gives as a block. */
bool teacher_outputs_put(struct teacher *t, struct outputs *o, int64_t view, int64_t block,
                         const float *images, int64_t count, struct error *err);

#endif
