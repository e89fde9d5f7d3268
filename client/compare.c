#include "client/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"

static struct json *copy_or_null(const struct json *j)
{
    return j ? js_copy(j) : js_new_null();
}

static bool same(const struct json *a, const struct json *b)
{
    char *x = js_text(a, JS_COMPACT | JS_SORTED), *y = js_text(b, JS_COMPACT | JS_SORTED);
    bool equal = strcmp(x, y) == 0;

    free(x);
    free(y);
    return equal;
}

/* -- Specs ---------------------------------------------------------------------------------------- */

static void compare_values(struct json *rows, const char *at, const struct json *a,
                           const struct json *b);

/* The members of a that b has not, or that both have; then those of b alone. */
static void compare_members(struct json *rows, const char *at, const struct json *a,
                            const struct json *b)
{
    const struct json *sides[] = {a, b};

    for (size_t s = 0; s < 2; s++)
        for (void *it = js_first(sides[s]); it; it = js_next(sides[s], it)) {
            char *place = str_fmt("%s/%s", at, js_key(it));

            if (s == 0 || !js_get(a, js_key(it)))
                compare_values(rows, place, js_get(a, js_key(it)), js_get(b, js_key(it)));
            free(place);
        }
}

static bool holds_objects(const struct json *list)
{
    return js_kind(list) == JS_ARRAY && js_kind(js_at(list, 0)) == JS_OBJECT;
}

static void compare_elements(struct json *rows, const char *at, const struct json *a,
                             const struct json *b)
{
    for (size_t i = 0; i < js_len(a) || i < js_len(b); i++) {
        char *place = str_fmt("%s/%zu", at, i);

        compare_values(rows, place, js_at(a, i), js_at(b, i));
        free(place);
    }
}

static void compare_values(struct json *rows, const char *at, const struct json *a,
                           const struct json *b)
{
    struct json *row;

    if (js_kind(a) == JS_OBJECT && js_kind(b) == JS_OBJECT) {
        compare_members(rows, at, a, b);
    } else if (holds_objects(a) && holds_objects(b)) {
        compare_elements(rows, at, a, b);
    } else if (!same(a, b)) {
        row = js_new_object();
        js_set(row, "pointer", js_new_string(at));
        js_set(row, "a", copy_or_null(a));
        js_set(row, "b", copy_or_null(b));
        js_push(rows, row);
    }
}

struct json *compare_specs(const struct json *a, const struct json *b)
{
    struct json *rows = js_new_array();

    compare_values(rows, "#", a, b);
    return rows;
}

/* -- Figures -------------------------------------------------------------------------------------- */

static bool is_number(const struct json *j)
{
    return js_kind(j) == JS_INT || js_kind(j) == JS_REAL;
}

static void add_figure(struct json *rows, const char *name, const struct json *a,
                       const struct json *b)
{
    struct json *row = js_new_object();

    js_set(row, "name", js_new_string(name));
    js_set(row, "a", copy_or_null(is_number(a) ? a : NULL));
    js_set(row, "b", copy_or_null(is_number(b) ? b : NULL));
    js_set(row, "difference",
           is_number(a) && is_number(b) ? js_new_real(js_real(b, 0) - js_real(a, 0))
                                        : js_new_null());
    js_push(rows, row);
}

static void add_figures(struct json *rows, const char *outer, const struct json *a,
                        const struct json *b)
{
    const struct json *sides[] = {a, b};

    for (size_t s = 0; s < 2; s++)
        for (void *it = js_first(sides[s]); it; it = js_next(sides[s], it)) {
            const struct json *x = js_get(a, js_key(it)), *y = js_get(b, js_key(it));
            char *name = str_fmt("%s%s%s", outer, *outer ? "." : "", js_key(it));

            if (s == 1 && x)
                ; /* done with a */
            else if (js_kind(js_value(it)) == JS_OBJECT)
                add_figures(rows, name, x, y);
            else if (is_number(js_value(it)))
                add_figure(rows, name, x, y);
            free(name);
        }
}

struct json *compare_figures(const struct json *a, const struct json *b)
{
    struct json *rows = js_new_array();

    add_figures(rows, "", a, b);
    return rows;
}

/* -- Series --------------------------------------------------------------------------------------- */

/* Two lists of points, walked by step. */
struct walk {
    int64_t points, only_a, only_b;
    int64_t first; /* -1: no difference */
    double most;
};

static int64_t step_of(const struct json *points, size_t i)
{
    return i < js_len(points) ? js_int(js_at(js_at(points, i), 0), 0) : INT64_MAX;
}

/* A value that is no number is null in JSON; two of them are the same. */
static void compare_point(struct walk *w, int64_t step, const struct json *a, const struct json *b)
{
    double x = js_real(a, (double)NAN), y = js_real(b, (double)NAN);

    w->points++;
    if (x == y || (isnan(x) && isnan(y)))
        return;
    if (w->first < 0)
        w->first = step;
    w->most = fmax(w->most, fabs(x - y));
}

static struct walk walk(const struct json *a, const struct json *b)
{
    struct walk w = {.first = -1};
    size_t i = 0, k = 0;

    while (i < js_len(a) || k < js_len(b)) {
        int64_t at_a = step_of(a, i), at_b = step_of(b, k);

        if (at_a == at_b)
            compare_point(&w, at_a, js_at(js_at(a, i), 1), js_at(js_at(b, k), 1));
        w.only_a += at_a < at_b;
        w.only_b += at_b < at_a;
        i += at_a <= at_b;
        k += at_b <= at_a;
    }
    return w;
}

static const struct json *find_series(const struct json *list, const struct json *like)
{
    for (size_t i = 0; i < js_len(list); i++) {
        const struct json *s = js_at(list, i);

        if (same(js_get(s, "name"), js_get(like, "name")) &&
            same(js_get(s, "split"), js_get(like, "split")))
            return s;
    }
    return NULL;
}

static void add_series(struct json *rows, const struct json *named, const struct json *a,
                       const struct json *b)
{
    struct walk w = walk(js_get(a, "points"), js_get(b, "points"));
    struct json *row = js_new_object();

    js_set(row, "name", copy_or_null(js_get(named, "name")));
    js_set(row, "split", copy_or_null(js_get(named, "split")));
    js_set(row, "points", js_new_int(w.points));
    js_set(row, "only_a", js_new_int(w.only_a));
    js_set(row, "only_b", js_new_int(w.only_b));
    js_set(row, "first_difference", w.first >= 0 ? js_new_int(w.first) : js_new_null());
    js_set(row, "max_abs_difference", w.points ? js_new_real(w.most) : js_new_null());
    js_push(rows, row);
}

struct json *compare_series(const struct json *a, const struct json *b)
{
    struct json *rows = js_new_array();

    for (size_t i = 0; i < js_len(a); i++)
        add_series(rows, js_at(a, i), js_at(a, i), find_series(b, js_at(a, i)));
    for (size_t i = 0; i < js_len(b); i++)
        if (!find_series(a, js_at(b, i)))
            add_series(rows, js_at(b, i), NULL, js_at(b, i));
    return rows;
}

bool compare_same(const struct json *row)
{
    return js_kind(js_get(row, "first_difference")) == JS_NULL &&
           js_int(js_get(row, "only_a"), 0) == 0 && js_int(js_get(row, "only_b"), 0) == 0;
}
