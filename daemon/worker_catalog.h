/* What the worker can do, asked of the worker itself. */
#ifndef DAEMON_WORKER_CATALOG_H
#define DAEMON_WORKER_CATALOG_H

#include "proto/wire/catalog.h"

/* Runs `worker catalog` and reads what it prints. */
bool worker_catalog_load(const char *worker, struct catalog *out, struct error *err);

#endif
