/* The pass rule: |got - want| <= atol + rtol x scale, with the scales of the format's section 3. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/conformance/conformance.h"

struct rule {
    double rtol, atol;
    double *row_rtol; /* one a row, or NULL */
    double *named;    /* scale of each row by another tensor, or NULL */
    const char *scale;
};

static double *doubles(const struct cf_case *c, const char *name, size_t *n)
{
    const struct st_tensor *t = st_find(c->st, name);
    double *out;

    if (!t)
        return NULL;
    *n = (size_t)st_count(t);
    out = NEW_ARRAY(double, *n);
    if (st_to_double(t, out))
        return out;
    free(out);
    return NULL;
}

static double largest(const double *x, size_t n, size_t from, size_t step)
{
    double m = 0;

    for (size_t i = from; i < n; i += step)
        m = fmax(m, fabs(x[i]));
    return m;
}

/* What rtol is multiplied with, for element i. `shared` are the scales that elements have in common: one
 * of the whole tensor, or one a column. */
static double scale_of(const struct rule *r, const double *want, const double *shared,
                       size_t columns, size_t i)
{
    if (!r->scale || strcmp(r->scale, "tensor") == 0)
        return shared[0];
    if (strcmp(r->scale, "element") == 0)
        return fabs(want[i]);
    if (strcmp(r->scale, "row total") == 0)
        return fmax(fabs(want[i / columns * columns]), 1e-3);
    if (strcmp(r->scale, "column max") == 0)
        return shared[i % columns];
    return r->named ? fabs(r->named[i / columns]) : 0;
}

static double *shared_scales(const struct rule *r, const double *want, size_t n, size_t columns)
{
    bool by_column = r->scale && strcmp(r->scale, "column max") == 0;
    double *shared = NEW_ARRAY(double, columns);

    for (size_t k = 0; k < (by_column ? columns : 1); k++)
        shared[k] = by_column ? largest(want, n, k, columns) : largest(want, n, 0, 1);
    return shared;
}

static void note(struct cf_case *c, const char *name, double ratio)
{
    if (ratio <= c->worst)
        return;
    c->worst = ratio;
    snprintf(c->worst_tensor, sizeof(c->worst_tensor), "%s", name);
}

static void judge(struct cf_case *c, const char *name, const struct rule *r, const double *got,
                  const double *want, size_t n, size_t columns)
{
    double whole = largest(want, n, 0, 1), *shared = shared_scales(r, want, n, columns);

    for (size_t i = 0; i < n; i++) {
        double error = fabs(got[i] - want[i]),
               rtol = r->row_rtol ? r->row_rtol[i / columns] : r->rtol;
        double allowed = r->atol + rtol * scale_of(r, want, shared, columns, i);

        if (!isfinite(got[i]))
            note(c, name, (double)INFINITY);
        else if (error > 0)
            note(c, name, allowed > 0 ? error / allowed : (double)INFINITY);
        if (whole > 0 && isfinite(got[i]))
            c->max_rel_err = fmax(c->max_rel_err, error / whole);
    }
    free(shared);
}

static bool only_finite(struct cf_case *c, const char *name, const double *got, size_t n)
{
    if (strcmp(js_string(js_get(c->check, name), ""), "finite") != 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(got[i]))
            note(c, name, (double)INFINITY);
    return true;
}

bool cf_compare(struct cf_case *c, const char *name, const double *got, size_t n, struct error *err)
{
    const struct json *tolerance = js_get(c->tolerance, name);
    const struct st_tensor *t = st_find(c->st, name);
    const char *rtol_name = js_string(js_get(tolerance, "rtol"), NULL);
    struct rule r = {.rtol = js_real(js_get(tolerance, "rtol"), 0),
                     .atol = js_real(js_get(tolerance, "atol"), 0),
                     .scale = js_string(js_get(tolerance, "scale"), NULL)};
    size_t n_want = 0, ignored;
    double *want;

    js_set(c->done, name, js_new_bool(true));
    if (only_finite(c, name, got, n) || !tolerance)
        return true;
    want = doubles(c, name, &n_want);
    if (!want || n_want != n) {
        free(want);
        return err_set(err, ERR_DATA, "%s has %zu elements; %zu were computed", name, n_want, n);
    }
    r.row_rtol = rtol_name ? doubles(c, rtol_name, &ignored) : NULL;
    r.named = r.scale ? doubles(c, r.scale, &ignored) : NULL;
    judge(c, name, &r, got, want, n, t->rank > 1 ? (size_t)t->shape[t->rank - 1] : 1);
    free(want);
    free(r.row_rtol);
    free(r.named);
    return true;
}
