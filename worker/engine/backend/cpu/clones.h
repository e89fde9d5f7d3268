/* Moved; here until all include it from there. */
#ifndef WORKER_ENGINE_BACKEND_CPU_CLONES_H
#define WORKER_ENGINE_BACKEND_CPU_CLONES_H

#include "proto/base/clones.h"

#endif
