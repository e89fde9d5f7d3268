/* Data that a job names by a registry (DISTILLD_DATA_SHA256, set by the daemon) must be what they were when
 * they were registered. */
#ifndef WORKER_REGISTERED_H
#define WORKER_REGISTERED_H

#include "proto/base/error.h"

/* ERR_DATA shows both hashes. True where no hash is asked for. cache: as identity_of has it. */
bool registered_check(const char *source, const char *cache, struct error *err);

#endif
