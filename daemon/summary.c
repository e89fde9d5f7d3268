#include "daemon/summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/stats.h"
#include "proto/base/str.h"

struct summary {
    const struct sweep *sweep;
    const char *const *figures;
    size_t n_figures;
    int64_t first, n; /* points */
    double *values; /* [n + 1][n_figures][seeds], NAN: not known; the last point is the baseline */
    struct json **jobs; /* [n] */
};

struct summary *summary_new(const struct sweep *sweep, int64_t first, int64_t n,
                            const char *const *figures, size_t n_figures)
{
    struct summary *s = NEW(struct summary);
    size_t values = (size_t)((n + 1) * sweep_seeds(sweep)) * n_figures;

    *s = (struct summary){.sweep = sweep,
                          .figures = figures,
                          .n_figures = n_figures,
                          .first = first,
                          .n = n,
                          .values = NEW_ARRAY(double, values),
                          .jobs = NEW_ARRAY(struct json *, (size_t)n)};
    for (size_t i = 0; i < values; i++)
        s->values[i] = (double)NAN;
    for (int64_t i = 0; i < n; i++)
        s->jobs[i] = js_new_array();
    return s;
}

void summary_free(struct summary *s)
{
    if (!s)
        return;
    for (int64_t i = 0; i < s->n; i++)
        js_free(s->jobs[i]);
    free(s->jobs);
    free(s->values);
    free(s);
}

/* The values of a figure at a point that is counted from `first`. */
static double *seeds_of(const struct summary *s, int64_t at, size_t figure)
{
    return s->values + ((size_t)at * s->n_figures + figure) * (size_t)sweep_seeds(s->sweep);
}

/* -- Rows ----------------------------------------------------------------------------------------- */

/* The part of a result that a figure's name begins with: its name need not say by what it was chosen. */
static const struct json *find_part(const struct json *result, const char *name, size_t len)
{
    for (void *it = js_first(result); it; it = js_next(result, it)) {
        const char *key = js_key(it);

        if (strncmp(key, name, len) == 0 && (!key[len] || str_starts(key + len, " (")))
            return js_value(it);
    }
    return NULL;
}

/* The best student is one, whatever has chosen it, and its top-1 is that on the test images. A result of
 * before these were noted beside those that were held out has none that could be compared. */
static double best_top1(const struct json *result)
{
    const struct json *by_val = js_get(result, "best (val)");

    if (by_val)
        return js_real(js_get(by_val, "test_top1"), (double)NAN);
    return js_real(js_get(js_get(result, "best (test)"), "top1"), (double)NAN);
}

static double find_figure(const struct json *result, const char *name)
{
    const size_t len = strcspn(name, ".");
    const struct json *part = find_part(result, name, len);

    if (strcmp(name, "best.top1") == 0)
        return best_top1(result);
    return js_real(name[len] ? js_get(part, name + len + 1) : part, (double)NAN);
}

static void add_values(struct summary *s, int64_t at, const struct sweep_row *row,
                       const struct json *result)
{
    for (size_t f = 0; f < s->n_figures; f++)
        seeds_of(s, at, f)[row->index % sweep_seeds(s->sweep)] = find_figure(result, s->figures[f]);
}

static void add_job(struct summary *s, int64_t at, const struct sweep_row *row)
{
    struct json *job = js_new_object(), *figures = js_new_object();
    const int64_t seed = row->index % sweep_seeds(s->sweep);

    for (size_t f = 0; f < s->n_figures; f++)
        js_set(figures, s->figures[f], js_new_real(seeds_of(s, at, f)[seed]));
    js_set(job, "id", js_new_string(row->id));
    js_set(job, "index", js_new_int(row->index));
    js_set(job, "seed", sweep_seed(s->sweep, row->index));
    js_set(job, "state", js_new_string(row->state));
    js_set(job, "figures", figures);
    js_push(s->jobs[at], job);
}

void summary_add(struct summary *s, const struct sweep_row *row)
{
    const int64_t point = row->index / sweep_seeds(s->sweep), at = point - s->first;
    struct json *result = js_parse(row->result, strlen(row->result), NULL);

    if (strcmp(row->state, "succeeded") != 0) {
        js_free(result);
        result = NULL;
    }
    if (point == sweep_baseline(s->sweep))
        add_values(s, s->n, row, result);
    if (at >= 0 && at < s->n) {
        add_values(s, at, row, result);
        add_job(s, at, row);
    }
    js_free(result);
}

/* -- Figures -------------------------------------------------------------------------------------- */

/* The known values of a figure at a point, packed; how many. */
static size_t known(const struct summary *s, int64_t at, size_t figure, double *out)
{
    const double *all = seeds_of(s, at, figure);
    size_t n = 0;

    for (int64_t k = 0; k < sweep_seeds(s->sweep); k++)
        if (isfinite(all[k]))
            out[n++] = all[k];
    return n;
}

/* The differences to the baseline for the seeds that both have. */
static size_t pairs(const struct summary *s, int64_t at, size_t figure, double *out)
{
    const double *mine = seeds_of(s, at, figure), *base = seeds_of(s, s->n, figure);
    size_t n = 0;

    for (int64_t k = 0; k < sweep_seeds(s->sweep); k++)
        if (isfinite(mine[k]) && isfinite(base[k]))
            out[n++] = mine[k] - base[k];
    return n;
}

static struct json *interval_json(const struct stats_interval *i, const char *method, size_t n)
{
    struct json *j = js_new_object();
    const bool some = isfinite(i->low);

    js_set(j, "value", js_new_real(i->value));
    js_set(j, "low", js_new_real(i->low));
    js_set(j, "high", js_new_real(i->high));
    js_set(j, "method", some ? js_new_string(method) : js_new_null());
    js_set(j, "pairs", js_new_int((int64_t)n));
    js_set(j, "contains_zero", some ? js_new_bool(i->low <= 0 && i->high >= 0) : js_new_null());
    return j;
}

/* How far a point is from the baseline; null where one of the two has no value. */
static struct json *difference(const struct summary *s, int64_t at, size_t figure, double *room)
{
    const struct stats mine = stats_of(room, known(s, at, figure, room));
    const struct stats base = stats_of(room, known(s, s->n, figure, room));
    const size_t n = pairs(s, at, figure, room);
    struct stats_interval i;

    if (!mine.n || !base.n || s->first + at == sweep_baseline(s->sweep))
        return js_new_null();
    if (n >= 2) {
        i = stats_paired(room, n);
        return interval_json(&i, "paired", n);
    }
    i = stats_welch(&mine, &base);
    return interval_json(&i, "welch", n);
}

static struct json *figure_json(const struct summary *s, int64_t at, size_t figure)
{
    double *room = NEW_ARRAY(double, (size_t)sweep_seeds(s->sweep));
    const struct stats stats = stats_of(room, known(s, at, figure, room));
    struct json *j = js_new_object();

    js_set(j, "n", js_new_int((int64_t)stats.n));
    js_set(j, "mean", js_new_real(stats.mean));
    js_set(j, "sd", js_new_real(stats.sd));
    js_set(j, "difference", difference(s, at, figure, room));
    free(room);
    return j;
}

static struct json *item(const struct summary *s, int64_t at)
{
    struct json *j = js_new_object(), *figures = js_new_object();

    for (size_t f = 0; f < s->n_figures; f++)
        js_set(figures, s->figures[f], figure_json(s, at, f));
    js_set(j, "point", js_new_int(s->first + at));
    js_set(j, "values", sweep_values(s->sweep, s->first + at));
    js_set(j, "jobs", js_copy(s->jobs[at]));
    js_set(j, "figures", figures);
    return j;
}

struct json *summary_items(const struct summary *s)
{
    struct json *items = js_new_array();

    for (int64_t at = 0; at < s->n; at++)
        js_push(items, item(s, at));
    return items;
}
