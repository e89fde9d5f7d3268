/* How long things take: counts of durations below each of a few bounds. */
#ifndef DAEMON_HISTOGRAM_H
#define DAEMON_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_BOUNDS = 12
};

struct histogram {
    uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* the last: above all bounds */
    double sum;
};

extern const double histogram_bounds[HISTOGRAM_BOUNDS]; /* seconds */

void histogram_add(struct histogram *h, double seconds);

#endif
