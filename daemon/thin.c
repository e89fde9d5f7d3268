#include "daemon/thin.h"

#include <math.h>
#include <stdbool.h>

#include "proto/base/error.h"

static bool above(double a, double b)
{
    return !isnan(b) && (isnan(a) || a > b);
}

/* The stretch that a step is in, of `count` alike from `first` on. Steps may span more than an int64_t. */
static size_t stretch_of(int64_t step, int64_t first, int64_t last, size_t count)
{
    double share = ((double)step - (double)first) / ((double)last - (double)first + 1);
    size_t at = (size_t)(share * (double)count);

    return at < count ? at : count - 1;
}

size_t thin(struct thin_point *points, size_t n, size_t max)
{
    const size_t stretches = (max - 2) / 2;
    size_t kept = 1;

    ASSERT(max >= THIN_LEAST);
    if (n <= max)
        return n;
    for (size_t i = 1, end; i < n - 1; i = end) {
        const size_t stretch =
            stretch_of(points[i].step, points[0].step, points[n - 1].step, stretches);
        size_t least = i, greatest = i;

        for (end = i + 1; end < n - 1 && stretch_of(points[end].step, points[0].step,
                                                    points[n - 1].step, stretches) == stretch;
             end++) {
            if (above(points[least].value, points[end].value))
                least = end;
            if (above(points[end].value, points[greatest].value))
                greatest = end;
        }
        points[kept++] = points[least < greatest ? least : greatest];
        if (least != greatest)
            points[kept++] = points[least < greatest ? greatest : least];
    }
    points[kept++] = points[n - 1];
    return kept;
}
