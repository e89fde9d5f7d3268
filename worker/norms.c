#include "worker/norms.h"

#include <math.h>
#include <stdlib.h>

/* 2^(1/32); edges are its powers, multiplied up one by one, which rounds alike everywhere. */
static const double root = 0x1.059b0d3158574p+0;

static int bin_of(double norm)
{
    double edge = 0.5 * root;
    int octave, bin = 0;

    if (!(norm >= ldexp(1, NORMS_LOWEST)))
        return 0;
    if (norm >= ldexp(1, NORMS_HIGHEST))
        return NORMS_BINS - 1;
    norm = frexp(norm, &octave);
    for (; bin + 1 < NORMS_PER_OCTAVE && norm >= edge; bin++)
        edge *= root;
    return 1 + (octave - 1 - NORMS_LOWEST) * NORMS_PER_OCTAVE + bin;
}

/* Where a bin begins. */
static double edge_of(int bin)
{
    double edge = 1;

    if (bin == 0)
        return 0;
    for (int i = (bin - 1) % NORMS_PER_OCTAVE; i > 0; i--)
        edge *= root;
    return ldexp(edge, NORMS_LOWEST + (bin - 1) / NORMS_PER_OCTAVE);
}

void norms_add(struct norms *h, double norm)
{
    h->counts[bin_of(norm)]++;
}

double norms_histogram_quantile(const struct norms *h, double q)
{
    int64_t n = 0, before = 0;
    double at, low;
    int bin = 0;

    for (int i = 0; i < NORMS_BINS; i++)
        n += h->counts[i];
    at = q * (double)(n - 1);
    while (bin < NORMS_BINS - 1 && before + h->counts[bin] <= (int64_t)at)
        before += h->counts[bin++];
    low = edge_of(bin);
    if (bin == NORMS_BINS - 1)
        return low;
    /* The samples of a bin stand in the middle of equal parts of it. */
    return low +
           (edge_of(bin + 1) - low) * fmin(1, (at - (double)before + 0.5) / (double)h->counts[bin]);
}

double norms_quantile(const double *sorted, int64_t n, double q)
{
    double at = q * (double)(n - 1);
    int64_t i = (int64_t)at;

    return i + 1 < n ? sorted[i] + (sorted[i + 1] - sorted[i]) * (at - (double)i) : sorted[n - 1];
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void norms_sort(double *norms, int64_t n)
{
    qsort(norms, (size_t)n, sizeof(*norms), ascending);
}
