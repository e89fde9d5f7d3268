/* How far the values of a frozen teacher go, over some images: what its form in int8 is made by. A greatest magnitude
 * is the same in whatever order, and by however many ranks, it is found. One thread. */
#ifndef WORKER_CALIBRATE_H
#define WORKER_CALIBRATE_H

#include "worker/replica.h"
#include "worker/session.h"

struct calibration;

/* Of the teacher of cfg->nets. ERR_UNSUPPORTED: this machine cannot compute in int8. */
struct calibration *calibration_open(const struct replica_config *cfg, tensor_fn tensor, void *arg,
                                     struct error *err);
/* Runs the teacher over at most cfg->chunk images. */
void calibration_add(struct calibration *c, const float *images, int64_t count);
/* Of the first `images` of a set, in its order and as evaluation shows them, the chunks that are dealt to `rank`. */
bool calibration_add_set(struct calibration *c, const struct dataset *data,
                         const struct augment *augment, int64_t images, int rank, int ranks,
                         struct error *err);
/* What was found so far; the caller releases it. ERR_DATA: a value is not finite. */
bool calibration_end(const struct calibration *c, struct teacher_ranges *out, struct error *err);
void calibration_close(struct calibration *c); /* NULL is fine */

/* Where the job's teacher computes in int8, s->ranges := those over its first training images. On all ranks alike. */
bool session_calibrate(struct session *s, const struct replica_config *cfg, struct error *err);

#endif
