/* Fewer points of a curve, without losing what a reader looks for: of each stretch of steps the least and the
 * greatest value stay, so that no spike vanishes, and the first and last point of all. Points are chosen, never
 * made: each stands where it was measured. */
#ifndef DAEMON_THIN_H
#define DAEMON_THIN_H

#include <stddef.h>
#include <stdint.h>

struct thin_point {
    int64_t step;
    double value; /* NaN, which is no number to the worker either, is greater than all others */
};

enum {
    THIN_LEAST = 4 /* first, last, and a stretch of two */
};

/* In place, of n points by rising step; returns how many stay, at most max (at least THIN_LEAST). */
size_t thin(struct thin_point *points, size_t n, size_t max);

#endif
