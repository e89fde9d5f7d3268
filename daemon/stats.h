/* Figures of a few measurements: mean and deviation, and how far two groups are apart. */
#ifndef DAEMON_STATS_H
#define DAEMON_STATS_H

#include <stddef.h>

/* How sure an interval is. */
#define STATS_CONFIDENCE 0.95

struct stats {
    size_t n;
    double mean; /* NAN without values */
    double sd;   /* of the sample (n - 1); NAN below two values */
};
struct stats stats_of(const double *values, size_t n);

/* The distance of two means, and the interval in which it lies with STATS_CONFIDENCE. */
struct stats_interval {
    double value;
    double low, high; /* NAN where there are too few values for an interval */
};
/* By the differences within pairs (Student): at least two. */
struct stats_interval stats_paired(const double *differences, size_t n);
/* Of two independent groups, whose spreads need not be equal (Welch, with the degrees of freedom of
 * Satterthwaite): at least two values each. The distance is a - b. */
struct stats_interval stats_welch(const struct stats *a, const struct stats *b);

/* The t below which Student's distribution has the share p, 0 < p < 1, of itself; df > 0, also fractions. */
double stats_t_quantile(double p, double df);

#endif
