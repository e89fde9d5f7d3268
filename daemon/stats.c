#include "daemon/stats.h"

#include <math.h>
#include <stdbool.h>

#include "proto/base/error.h"

struct stats stats_of(const double *values, size_t n)
{
    struct stats s = {.n = n, .mean = (double)NAN, .sd = (double)NAN};
    double sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++)
        sum += values[i];
    if (n)
        s.mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (values[i] - s.mean) * (values[i] - s.mean);
    if (n > 1)
        s.sd = sqrt(squares / (double)(n - 1));
    return s;
}

static struct stats_interval around(double value, double error, double df)
{
    const double t = stats_t_quantile(1 - (1 - STATS_CONFIDENCE) / 2, df);

    return (struct stats_interval){value, value - t * error, value + t * error};
}

struct stats_interval stats_paired(const double *differences, size_t n)
{
    const struct stats s = stats_of(differences, n);

    if (n < 2)
        return (struct stats_interval){s.mean, (double)NAN, (double)NAN};
    return around(s.mean, s.sd / sqrt((double)n), (double)(n - 1));
}

struct stats_interval stats_welch(const struct stats *a, const struct stats *b)
{
    const double value = a->mean - b->mean;
    double va, vb;

    if (a->n < 2 || b->n < 2)
        return (struct stats_interval){value, (double)NAN, (double)NAN};
    va = a->sd * a->sd / (double)a->n;
    vb = b->sd * b->sd / (double)b->n;
    if (va + vb == 0) /* no spread at all */
        return (struct stats_interval){value, value, value};
    return around(value, sqrt(va + vb),
                  (va + vb) * (va + vb) /
                      (va * va / (double)(a->n - 1) + vb * vb / (double)(b->n - 1)));
}

/* -- Student's distribution ------------------------------------------------------------------------ */

/* The continued fraction of the incomplete beta function (DLMF 8.17.22) by Lentz's method, in which
 * neither numerator nor denominator may become 0. It converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double x, double a, double b)
{
    const double tiny = 1e-300, precise = 1e-15;
    double c = 1, d = 1 - (a + b) * x / (a + 1), f;

    d = 1 / (fabs(d) < tiny ? tiny : d);
    f = d;
    for (int m = 1; m < 1000; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double step = 1;

        for (int k = 0; k < 2; k++) {
            const double term = k ? odd : even;

            d = 1 + term * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + term / c;
            c = fabs(c) < tiny ? tiny : c;
            step = c * d;
            f *= step;
        }
        if (fabs(step - 1) < precise)
            break;
    }
    return f;
}

/* I_x(a, b) (DLMF 8.17), 0 < x < 1; rest is 1 - x, which is not to be computed where x is close to 1. */
static double incomplete_beta(double x, double rest, double a, double b)
{
    const double scale = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(rest));

    if (x < (a + 1) / (a + b + 2))
        return scale * beta_fraction(x, a, b) / a;
    return 1 - scale * beta_fraction(rest, b, a) / b;
}

/* The share beyond t > 0. */
static double upper_tail(double t, double df)
{
    const double square = t * t;

    return incomplete_beta(df / (df + square), square / (df + square), df / 2, 0.5) / 2;
}

double stats_t_quantile(double p, double df)
{
    double low = 1e-12, high = 1;

    ASSERT(p > 0 && p < 1 && df > 0);
    if (p == 0.5)
        return 0;
    if (p < 0.5)
        return -stats_t_quantile(1 - p, df);
    while (upper_tail(high, df) > 1 - p && high < 1e150)
        high *= 2;
    /* The tail falls with t: each halving of the interval gives a bit. */
    for (int i = 0; i < 200 && high - low > 1e-15 * high; i++) {
        const double middle = (low + high) / 2;

        if (upper_tail(middle, df) > 1 - p)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}
