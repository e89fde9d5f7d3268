/* Buffers between a replica's plans and its callers, sized once. */
#ifndef WORKER_STAGING_H
#define WORKER_STAGING_H

#include "worker/nets.h"

struct replica_config;

struct replica_staging {
    float *teacher[NETS_MAX_TEACHER_VALUES]; /* of a lane; NULL: neither wanted nor there */
    float *logits, *features, *projected;    /* of a lane or chunk */
    float *mask;
    float *seeds;
    float *shares, *direction; /* of a lane of mixed images */
    double *centre;            /* of one of them */
    float *losses[NETS_MAX_LOSSES];
    size_t bytes;
};

struct replica_staging *staging_new(const struct replica_config *c);
void staging_free(struct replica_staging *s); /* NULL is fine */

#endif
