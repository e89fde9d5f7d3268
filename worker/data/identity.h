/* The identity of a data set (dataset_sha256), remembered while nothing changes (memo.h). */
#ifndef WORKER_DATA_IDENTITY_H
#define WORKER_DATA_IDENTITY_H

#include "worker/data/dataset.h"

/* anew: computes whatever is remembered. *read, if not NULL: whether the data was read. */
bool identity_of(const struct dataset *d, const char *cache, bool anew, char hex[SHA256_HEX],
                 bool *read, struct error *err);

#endif
