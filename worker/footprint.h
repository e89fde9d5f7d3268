/* How much memory a rank of a training job needs: what the plans say, and what the process has. Not in the
 * plan: programs and libraries, the code of kernels, mapped files (which the system can drop). */
#ifndef WORKER_FOOTPRINT_H
#define WORKER_FOOTPRINT_H

#include "proto/wire/job.h"
#include "worker/data/dataset.h"
#include "worker/replica.h"

enum {
    FOOTPRINT_ROWS = 12
};

struct footprint {
    struct {
        const char *name;
        size_t bytes;
    } rows[FOOTPRINT_ROWS];
    size_t total;
};

/* One of `ranks` alike. val and test may be NULL, and train where nothing is loaded. */
void footprint_plan(struct footprint *f, const struct replica *r, const JobSpec *job, int ranks,
                    const struct dataset *train, const struct dataset *val,
                    const struct dataset *test);
/* The same of this process as it is now: what is in memory, has no file behind it and is not executable; 0
 * where the system does not tell. */
size_t footprint_now(void);

#endif
