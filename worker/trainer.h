/* The training loop. */
#ifndef WORKER_TRAINER_H
#define WORKER_TRAINER_H

#include "worker/session.h"

struct trainer_options {
    const char *resume;
    bool allow_other_isa;
};

/* Trains to the end, or until it is told to stop. All ranks return alike. True: done, results written.
 * ERR_STOPPED: a checkpoint was written, the same command goes on. ERR_CANCELLED likewise, for good. */
bool trainer_run(struct session *s, const struct trainer_options *options, struct error *err);

#endif
