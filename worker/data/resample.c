#include "worker/data/resample.h"

#include <math.h>
#include <stdlib.h>

#include "proto/base/mem.h"

enum {
    BITS = 22, /* of a weight, behind the point: 255 and a sum of weights fit 31 bits */
    ONE = 1 << BITS,
    HALF = 1 << (BITS - 1)
};

/* What one output pixel takes along one axis: `n` inputs from `first`, weights at `weights`. */
struct taps {
    int first, n;
    const int32_t *weights;
};

struct axis {
    struct taps *taps;
    int32_t *weights;
    size_t n_taps, n_weights; /* room */
};

struct resampler {
    struct axis across, down;
    uint8_t *between; /* 3 x rows that are needed x cols */
    int32_t *sums;    /* one row */
    size_t n_between, n_sums;
    double *parts; /* of one pixel, before they are rounded */
    size_t n_parts;
};

struct resampler *resampler_new(void)
{
    return NEW(struct resampler);
}

void resampler_free(struct resampler *r)
{
    if (!r)
        return;
    free(r->across.taps);
    free(r->across.weights);
    free(r->down.taps);
    free(r->down.weights);
    free(r->between);
    free(r->sums);
    free(r->parts);
    free(r);
}

/* Room for n items of what p points to. */
#define GROW(p, room, n)                               \
    do {                                               \
        if ((n) > (room)) {                            \
            (p) = mem_realloc((p), (n), sizeof(*(p))); \
            (room) = (n);                              \
        }                                              \
    } while (0)

static double triangle(double x)
{
    return fmax(0, 1 - fabs(x));
}

/* The weights of output `at` of an axis that goes from `in` to `out` pixels; *first is where they begin.
 * The count is returned. */
static int weigh(double *parts, int in, int out, int at, int *first, int32_t *weights)
{
    double scale = (double)in / out, reach = fmax(scale, 1), centre = (at + 0.5) * scale, sum = 0;
    double from = centre - reach + 0.5, to = centre + reach + 0.5;
    int n;

    *first = from > 0 ? (int)from : 0;
    n = (to < in ? (int)to : in) - *first;
    for (int i = 0; i < n; i++) {
        parts[i] = triangle((i + *first - centre + 0.5) / reach);
        sum += parts[i];
    }
    for (int i = 0; i < n; i++)
        weights[i] = (int32_t)(parts[i] / sum * ONE + 0.5);
    return n;
}

/* Taps of the outputs [from, from + n). */
static void plan_axis(struct resampler *r, struct axis *a, int in, int out, int from, int n)
{
    size_t most = 2 * (size_t)ceil(fmax((double)in / out, 1)) + 2;

    GROW(r->parts, r->n_parts, most);
    GROW(a->taps, a->n_taps, (size_t)n);
    GROW(a->weights, a->n_weights, (size_t)n * most);
    for (int i = 0; i < n; i++) {
        int32_t *weights = a->weights + (size_t)i * most;

        a->taps[i].weights = weights;
        a->taps[i].n = weigh(r->parts, in, out, from + i, &a->taps[i].first, weights);
    }
}

/* A sum of weights may pass 1 by some units of the last place. */
static uint8_t rounded(int32_t sum)
{
    sum >>= BITS;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

/* One row of all three channels; `plane` bytes lie between those of the result. */
static void along_row(const struct taps *taps, int cols, const struct pixels *in,
                      const uint8_t *row, uint8_t *out, size_t plane)
{
    for (int x = 0; x < cols; x++) {
        const uint8_t *p = row + taps[x].first * in->step;
        int32_t a = HALF, b = HALF, c = HALF;

        for (int i = 0; i < taps[x].n; i++, p += in->step) {
            const int32_t w = taps[x].weights[i];

            a += w * p[0];
            b += w * p[in->plane];
            c += w * p[2 * in->plane];
        }
        out[x] = rounded(a);
        out[plane + (size_t)x] = rounded(b);
        out[2 * plane + (size_t)x] = rounded(c);
    }
}

/* One row of one channel from the rows above and below it. */
static void along_columns(const struct taps *taps, int cols, const uint8_t *rows, int32_t *sums,
                          uint8_t *out)
{
    for (int x = 0; x < cols; x++)
        sums[x] = HALF;
    for (int i = 0; i < taps->n; i++, rows += cols)
        for (int x = 0; x < cols; x++)
            sums[x] += taps->weights[i] * rows[x];
    for (int x = 0; x < cols; x++)
        out[x] = rounded(sums[x]);
}

void resample(struct resampler *r, const struct pixels *in, const struct cutout *w, uint8_t *out)
{
    const struct taps *last;
    size_t plane;
    int top, rows;

    plan_axis(r, &r->across, in->width, w->width, w->left, w->cols);
    plan_axis(r, &r->down, in->height, w->height, w->top, w->rows);
    last = &r->down.taps[w->rows - 1];
    top = r->down.taps[0].first;
    rows = last->first + last->n - top;
    plane = (size_t)rows * (size_t)w->cols;
    GROW(r->between, r->n_between, 3 * plane);
    GROW(r->sums, r->n_sums, (size_t)w->cols);
    for (int y = 0; y < rows; y++)
        along_row(r->across.taps, w->cols, in, in->base + (top + y) * in->row,
                  r->between + (size_t)y * (size_t)w->cols, plane);
    for (size_t c = 0; c < 3; c++)
        for (int y = 0; y < w->rows; y++, out += w->cols)
            along_columns(&r->down.taps[y], w->cols,
                          r->between + c * plane +
                              (size_t)(r->down.taps[y].first - top) * (size_t)w->cols,
                          r->sums, out);
}
