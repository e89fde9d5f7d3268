/* What a plan does, for people and for programs: every step, what it reads and writes, memory. */
#ifndef WORKER_INSPECT_H
#define WORKER_INSPECT_H

#include "proto/base/json.h"
#include "worker/engine/plan/plan.h"

void inspect_text(const struct plan *p, struct buf *out);
/* Sizes in bytes; see the members in inspect.c. */
struct json *inspect_json(const struct plan *p);

#endif
