#include "proto/wire/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"

struct sweep {
    JobSpec *whole;    /* as it was read */
    struct json *base; /* the spec without its sweep */
    struct axis {
        const char *field;   /* of `whole` */
        struct json *values; /* an array */
    } * axes;
    size_t n_axes;
    int64_t points, baseline;
};

static const Distilld__SweepSpec *spec_of(const struct sweep *s)
{
    return s->whole->sweep;
}

int64_t sweep_jobs(const struct sweep *s)
{
    return s->points * sweep_seeds(s);
}

int64_t sweep_points(const struct sweep *s)
{
    return s->points;
}

int64_t sweep_seeds(const struct sweep *s)
{
    return spec_of(s)->n_seeds ? (int64_t)spec_of(s)->n_seeds : 1;
}

int64_t sweep_parallel(const struct sweep *s)
{
    return spec_of(s)->parallel;
}

int64_t sweep_baseline(const struct sweep *s)
{
    return s->baseline;
}

const struct json *sweep_base(const struct sweep *s)
{
    return s->base;
}

/* -- Points --------------------------------------------------------------------------------------- */

/* How far apart the points are that differ in axis i alone. */
static int64_t stride(const struct sweep *s, size_t i)
{
    int64_t n = 1;

    while (++i < s->n_axes)
        n *= (int64_t)js_len(s->axes[i].values);
    return n;
}

static const struct json *value_at(const struct sweep *s, size_t axis, int64_t point)
{
    const struct json *values = s->axes[axis].values;

    return js_at(values, (size_t)(point / stride(s, axis)) % js_len(values));
}

struct json *sweep_values(const struct sweep *s, int64_t point)
{
    struct json *values = js_new_object();

    for (size_t i = 0; i < s->n_axes; i++)
        js_set(values, s->axes[i].field, js_copy(value_at(s, i, point)));
    return values;
}

struct json *sweep_seed(const struct sweep *s, int64_t k)
{
    return spec_of(s)->n_seeds ? js_new_int(spec_of(s)->seeds[k % sweep_seeds(s)]) : js_new_null();
}

struct json *sweep_spec(const struct sweep *s, int64_t k, struct error *err)
{
    struct json *spec = js_copy(s->base);
    bool ok = true;

    for (size_t i = 0; ok && i < s->n_axes; i++)
        ok = job_put(spec, s->axes[i].field, js_copy(value_at(s, i, k / sweep_seeds(s))), err);
    if (ok && spec_of(s)->n_seeds)
        ok = job_put(spec, "train.seed", sweep_seed(s, k), err);
    if (ok)
        return spec;
    js_free(spec);
    return NULL;
}

/* -- Reading -------------------------------------------------------------------------------------- */

static bool lies_in(const char *field, const char *other)
{
    size_t n = strlen(other);

    return strncmp(field, other, n) == 0 && (!field[n] || field[n] == '.');
}

static void check_field(const Distilld__SweepSpec *spec, size_t i, struct problems *p)
{
    static const char *const fixed[] = {"sweep", "schema_version", "project"};
    const char *field = spec->grid[i]->field;
    char *pointer = str_fmt("#/sweep/grid/%zu/field", i);

    if (!field || !*field)
        problems_add(p, pointer, "is required");
    for (size_t k = 0; field && k < ARRAY_LEN(fixed); k++)
        if (lies_in(field, fixed[k]))
            problems_add(p, pointer, "\"%s\" is the same in all jobs", fixed[k]);
    for (size_t k = 0; field && k < i; k++)
        if (spec->grid[k]->field && lies_in(spec->grid[k]->field, field))
            problems_add(p, pointer, "\"%.100s\" stands there already, with \"%.100s\"", field,
                         spec->grid[k]->field);
    if (field && spec->n_seeds && lies_in("train.seed", field))
        problems_add(p, pointer, "\"%.100s\" would be undone by the seeds", field);
    free(pointer);
}

static void check_size(const Distilld__SweepSpec *spec, struct problems *p)
{
    double jobs = spec->n_seeds ? (double)spec->n_seeds : 1;
    size_t values = 0;

    for (size_t i = 0; i < spec->n_grid; i++) {
        char *pointer = str_fmt("#/sweep/grid/%zu/values", i);

        if (!spec->grid[i]->n_values)
            problems_add(p, pointer, "at least one value is required");
        free(pointer);
        values += spec->grid[i]->n_values;
        jobs *= (double)spec->grid[i]->n_values;
    }
    if (!spec->n_grid && !spec->n_seeds)
        problems_add(p, "#/sweep", "a grid or seeds are required");
    if (values > SWEEP_MAX_VALUES)
        problems_add(p, "#/sweep/grid", "at most %d values, got %zu", SWEEP_MAX_VALUES, values);
    if (jobs > SWEEP_MAX_JOBS)
        problems_add(p, "#/sweep", "at most %d jobs, got %.10g", SWEEP_MAX_JOBS, jobs);
    if (spec->has_parallel && spec->parallel < 1)
        problems_add(p, "#/sweep/parallel", "must be at least 1, got %d", spec->parallel);
}

static bool same(const struct json *a, const struct json *b);

static bool same_elements(const struct json *a, const struct json *b)
{
    if (js_len(a) != js_len(b))
        return false;
    for (size_t i = 0; i < js_len(a); i++)
        if (!same(js_at(a, i), js_at(b, i)))
            return false;
    return true;
}

/* null is as good as left out. */
static bool same_members(const struct json *a, const struct json *b)
{
    for (void *it = js_first(a); it; it = js_next(a, it))
        if (!same(js_value(it), js_get(b, js_key(it))))
            return false;
    for (void *it = js_first(b); it; it = js_next(b, it))
        if (!js_get(a, js_key(it)) && js_kind(js_value(it)) != JS_NULL)
            return false;
    return true;
}

/* 1 is 1.0, and members have no order. */
static bool same(const struct json *a, const struct json *b)
{
    if (js_kind(a) == JS_REAL || js_kind(b) == JS_REAL)
        return js_real(a, (double)NAN) == js_real(b, (double)NAN);
    if (js_kind(a) != js_kind(b))
        return false;
    switch (js_kind(a)) {
    case JS_ARRAY: return same_elements(a, b);
    case JS_OBJECT: return same_members(a, b);
    case JS_STRING: return strcmp(js_string(a, ""), js_string(b, "")) == 0;
    case JS_BOOL: return js_bool(a, false) == js_bool(b, false);
    case JS_INT: return js_int(a, 0) == js_int(b, 0);
    case JS_NULL:
    case JS_REAL: break;
    }
    return true;
}

/* What a baseline's value adds to the number of its point; -1 when no point has it. */
static int64_t find_value(const struct sweep *s, const char *field, const struct json *value)
{
    for (size_t i = 0; i < s->n_axes; i++)
        for (size_t k = 0; strcmp(s->axes[i].field, field) == 0 && k < js_len(s->axes[i].values);
             k++)
            if (same(js_at(s->axes[i].values, k), value))
                return (int64_t)k * stride(s, i);
    return -1;
}

static void find_baseline(struct sweep *s, struct problems *p)
{
    const char *text = spec_of(s)->baseline ? spec_of(s)->baseline->text : "{}";
    struct json *values = js_parse(text, strlen(text), NULL);

    if (js_kind(values) != JS_OBJECT)
        problems_add(p, "#/sweep/baseline", "expected an object of values by field, got %.60s",
                     text);
    for (void *it = js_first(values); it; it = js_next(values, it)) {
        int64_t found = find_value(s, js_key(it), js_value(it));

        s->baseline += found;
        if (found < 0)
            problems_add(p, "#/sweep/baseline", "no value of the grid is that of \"%.100s\"",
                         js_key(it));
    }
    js_free(values);
}

static void read_axes(struct sweep *s)
{
    const Distilld__SweepSpec *spec = spec_of(s);

    s->axes = NEW_ARRAY(struct axis, spec->n_grid + 1);
    s->n_axes = spec->n_grid;
    s->points = 1;
    for (size_t i = 0; i < s->n_axes; i++) {
        const Distilld__SweepField *from = spec->grid[i];

        s->axes[i] = (struct axis){from->field, js_new_array()};
        for (size_t k = 0; k < from->n_values; k++)
            js_push(s->axes[i].values,
                    js_parse(from->values[k]->text, strlen(from->values[k]->text), NULL));
        s->points *= (int64_t)from->n_values;
    }
}

static void check_grid(const Distilld__SweepSpec *spec, struct problems *p)
{
    if (spec->n_grid > SWEEP_MAX_FIELDS)
        problems_add(p, "#/sweep/grid", "at most %d fields, got %zu", SWEEP_MAX_FIELDS,
                     spec->n_grid);
    for (size_t i = 0; i < spec->n_grid && i < SWEEP_MAX_FIELDS; i++)
        check_field(spec, i, p);
    check_size(spec, p);
    problems_check_set(p, "#/sweep/seeds", "seed", spec->seeds, spec->n_seeds);
}

struct sweep *sweep_new(const struct json *spec, struct problems *p)
{
    const size_t told = p->list.n;
    struct sweep *s = NEW(struct sweep);

    s->whole = job_from_json(spec, p);
    if (s->whole && spec_of(s) && !s->whole->has_kind)
        problems_add(p, "#/kind", "is required: train, class_means, distill or eval");
    if (s->whole && spec_of(s) && p->list.n == told)
        check_grid(spec_of(s), p);
    if (s->whole && spec_of(s) && p->list.n == told) {
        s->base = js_copy(spec);
        js_delete(s->base, "sweep");
        read_axes(s);
        find_baseline(s, p);
    }
    if (s->base && p->list.n == told)
        return s;
    sweep_free(s);
    return NULL;
}

void sweep_free(struct sweep *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_axes; i++)
        js_free(s->axes[i].values);
    free(s->axes);
    js_free(s->base);
    job_free(s->whole);
    free(s);
}

/* -- Rules ---------------------------------------------------------------------------------------- */

static bool is_told(const struct problems *p, const struct problem *one)
{
    for (size_t i = 0; i < p->list.n; i++)
        if (strcmp(p->list.at[i].pointer, one->pointer) == 0 &&
            strcmp(p->list.at[i].detail, one->detail) == 0)
            return true;
    return false;
}

/* What follows the place of a field in a pointer ("" for the place itself); NULL if it is elsewhere. */
static const char *within(const char *pointer, const char *field)
{
    const char *at = pointer + strlen("#");

    if (*at++ != '/')
        return NULL;
    for (; *field && *at; field++, at++)
        if (*at != (*field == '.' ? '/' : *field))
            return NULL;
    return !*field && (!*at || *at == '/') ? at : NULL;
}

/* A problem of a job with value k of axis i, told as one of the sweep. */
static void tell(const struct sweep *s, size_t i, size_t k, const struct problem *one,
                 struct problems *p)
{
    const char *rest = within(one->pointer, s->axes[i].field);
    char *pointer = str_fmt("#/sweep/grid/%zu/values/%zu%s", i, k, rest ? rest : "");

    if (rest)
        problems_add(p, pointer, "%s", one->detail);
    else
        problems_add(p, pointer, "%s: %s", one->pointer, one->detail);
    free(pointer);
}

/* The first job: what is wrong with it is wrong with a first value, or with what all jobs have. */
static void tell_first(const struct sweep *s, const struct problems *first, struct problems *p)
{
    for (size_t n = 0; n < first->list.n; n++) {
        const struct problem *one = &first->list.at[n];
        size_t i = 0;

        while (i < s->n_axes && !within(one->pointer, s->axes[i].field))
            i++;
        if (i < s->n_axes)
            tell(s, i, 0, one, p);
        else
            problems_add(p, one->pointer, "%s", one->detail);
    }
}

static JobSpec *judge(const struct sweep *s, int64_t point, sweep_rules rules, void *arg,
                      struct problems *p)
{
    struct error err;
    struct json *spec = sweep_spec(s, point * sweep_seeds(s), &err);
    JobSpec *job = spec ? job_from_json(spec, p) : NULL;

    if (job)
        rules(job, p, arg);
    else
        problems_add(p, "#", "%s", err.msg);
    js_free(spec);
    return job;
}

/* Adds what is wrong with value k of axis i and was not with its first. */
static void try_value(const struct sweep *s, size_t i, size_t k, const struct problems *first,
                      sweep_rules rules, void *arg, struct problems *p)
{
    struct problems here = {0};

    job_free(judge(s, (int64_t)k * stride(s, i), rules, arg, &here));
    for (size_t n = 0; n < here.list.n; n++)
        if (!is_told(first, &here.list.at[n]))
            tell(s, i, k, &here.list.at[n], p);
    problems_free(&here);
}

/* Two points that are one would count its seeds twice. */
static void check_value(const struct axis *a, size_t i, size_t k, struct problems *p)
{
    const struct json *value = js_at(a->values, k);

    for (size_t m = 0; m < k; m++)
        if (same(js_at(a->values, m), value)) {
            char *pointer = str_fmt("#/sweep/grid/%zu/values/%zu", i, k);
            char *text = js_text(value, JS_COMPACT);

            problems_add(p, pointer, "\"%.100s\" has the value %.60s already, at place %zu",
                         a->field, text, m);
            free(text);
            free(pointer);
            return;
        }
}

static JobSpec *check_all(const struct sweep *s, sweep_rules rules, void *arg, struct problems *p)
{
    struct problems first = {0};
    JobSpec *job = judge(s, 0, rules, arg, &first);

    tell_first(s, &first, p);
    for (size_t i = 0; i < s->n_axes; i++)
        for (size_t k = 1; k < js_len(s->axes[i].values); k++) {
            check_value(&s->axes[i], i, k, p);
            try_value(s, i, k, &first, rules, arg, p);
        }
    problems_free(&first);
    return job;
}

static JobSpec *check_one(const struct json *spec, sweep_rules rules, void *arg, struct problems *p)
{
    JobSpec *job = job_from_json(spec, p);

    if (job)
        rules(job, p, arg);
    return job;
}

JobSpec *sweep_check(const struct json *spec, sweep_rules rules, void *arg, struct problems *p)
{
    const size_t told = p->list.n;
    struct sweep *s = js_kind(js_get(spec, "sweep")) != JS_NULL ? sweep_new(spec, p) : NULL;
    JobSpec *job = NULL;

    if (s)
        job = check_all(s, rules, arg, p);
    else if (p->list.n == told)
        job = check_one(spec, rules, arg, p);
    sweep_free(s);
    return job;
}
