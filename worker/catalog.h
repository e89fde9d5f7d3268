/* The worker's registries as a catalog (proto/wire/catalog.h). */
#ifndef WORKER_CATALOG_H
#define WORKER_CATALOG_H

#include "proto/wire/catalog.h"

void worker_catalog(struct catalog *c);

#endif
