/* Directions that follow running class means (teacher.directions: ema): what the step's samples add, and
 * the means that the next step uses. Does nothing in other jobs. */
#ifndef WORKER_RUNNING_MEANS_H
#define WORKER_RUNNING_MEANS_H

#include "worker/session.h"

struct running_means {
    struct means_sums batch; /* of this rank's lanes in this step */
    float *unit;
    struct error err; /* why it cannot be added up */
    bool failed;
};
/* The directions of session.ema, as it is at the start or was restored. */
void running_means_open(struct running_means *m, struct session *s);
void running_means_close(struct running_means *m);

void running_means_begin(struct running_means *m);
/* The lane that the replica has just computed. */
void running_means_add(struct running_means *m, const struct session *s, const struct lane *lane);
/* On all ranks: the step is taken. ERR_DATA on all when a feature of the teacher is not a number. */
bool running_means_step(struct running_means *m, struct session *s, struct error *err);

#endif
