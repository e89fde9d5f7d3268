/* Threads that share the items of a piece of work. Which of them does which item does not show, as long as
 * an item touches only what is its own and its member's. */
#ifndef PROTO_BASE_CREW_H
#define PROTO_BASE_CREW_H

#include <stdint.h>

#include "proto/base/error.h"

struct crew;
typedef void (*crew_fn)(void *arg, int member, int64_t item);

/* The caller and members - 1 threads. */
struct crew *crew_new(int members, struct error *err);
/* Calls work for each item of [0, n), by the members at the same time; returns when all are done. One call
 * at a time. */
void crew_run(struct crew *c, int64_t n, crew_fn work, void *arg);
void crew_free(struct crew *c); /* NULL is fine */

#endif
