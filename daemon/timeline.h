/* Which slots will be free when: what running jobs give back at their time limits, less what waiting
 * jobs are to have. Pure: times are milliseconds from now. */
#ifndef DAEMON_TIMELINE_H
#define DAEMON_TIMELINE_H

#include "daemon/place.h"

/* Longer than anything; also the length of a job without a limit. */
#define TIMELINE_EVER INT64_MAX

struct timeline;

/* hosts: as they are now; copied. */
struct timeline *timeline_new(const struct place_host *hosts, size_t n_hosts);
void timeline_free(struct timeline *t);

/* From `at` on (in the order of time this costs least), ranks[i] x threads more slots of each host i are free. */
void timeline_release(struct timeline *t, int64_t at, const int64_t *ranks, int64_t threads);
/* The earliest time from which so many ranks have their slots for so long, and given[i] of them on host i;
 * TIMELINE_EVER, and nothing given, if no time is known. */
int64_t timeline_find(const struct timeline *t, int64_t ranks, int64_t threads, int64_t length,
                      int64_t *given);
/* Gives away what was found, and takes it back. */
void timeline_take(struct timeline *t, int64_t at, int64_t length, const int64_t *given,
                   int64_t threads);
void timeline_take_back(struct timeline *t, int64_t at, int64_t length, const int64_t *given,
                        int64_t threads);

#endif
