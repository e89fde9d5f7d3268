/* The parts of ReviewKD. loss.hcl: hierarchical context loss over levels; block.abf: attention-based fusion. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/conformance/conformance.h"
#include "worker/conformance/single.h"
#include "worker/losses/review.h"

enum {
    MAX_LEVELS = 8
};

/* The case's tensor as an input; NO_VALUE if it has none of that name. */
static value_id input(struct graph *g, const struct cf_case *c, const char *name)
{
    const struct st_tensor *t = st_find(c->st, name);
    struct shape s = {0};

    if (!t)
        return NO_VALUE;
    s.rank = t->rank;
    for (int i = 0; i < t->rank && i < SHAPE_MAX; i++)
        s.dim[i] = t->shape[i];
    return graph_input(g, name, DT_REAL, s);
}

static bool set_inputs(struct single *s, const struct cf_case *c, struct error *err)
{
    for (size_t i = 0; i < st_tensors(c->st); i++) {
        const char *name = st_at(c->st, i)->name;
        float *data;

        if (plan_io_find(s->plan, name) < 0)
            continue;
        data = cf_floats(c, name, err);
        if (!data)
            return false;
        single_set(s, name, data);
        free(data);
    }
    return true;
}

/* Holds the plan's output against the case's tensor, where it has that. */
static bool compare(struct cf_case *c, const struct single *s, const char *output,
                    const char *tensor, struct error *err)
{
    size_t n;
    double *got = st_find(c->st, tensor) ? single_get(s, output, &n) : NULL;
    bool ok =
        !st_find(c->st, tensor) || (got ? cf_compare(c, tensor, got, n, err)
                                        : err_set(err, ERR_FAILED, "%s was not computed", tensor));

    free(got);
    return ok;
}

/* One output "level.K" for each level; returns how many there are. */
static int build_levels(struct graph *g, const struct cf_case *c, int64_t *batch)
{
    char student[24], teacher[24], level[24];
    value_id s, seed = NO_VALUE;
    int k = 0;

    for (;; k++) {
        value_id term;

        snprintf(student, sizeof(student), "in.fs.%d", k);
        snprintf(teacher, sizeof(teacher), "in.ft.%d", k);
        snprintf(level, sizeof(level), "level.%d", k);
        s = k < MAX_LEVELS ? input(g, c, student) : NO_VALUE;
        if (s == NO_VALUE)
            return k;
        *batch = graph_shape(g, s)->dim[0];
        if (seed == NO_VALUE)
            seed = graph_input(g, "seed", DT_REAL, shape1(*batch));
        graph_want_grad(g, s);
        term = hcl_build(g, s, input(g, c, teacher));
        graph_mark_output(g, term, level);
        graph_seed(g, term, seed);
    }
}

static bool compare_levels(struct cf_case *c, const struct single *s, int levels, struct error *err)
{
    double means[MAX_LEVELS] = {0}, total = 0;
    char name[32], output[32];
    bool ok = true;

    for (int k = 0; ok && k < levels; k++) {
        size_t n;
        double *got;

        snprintf(name, sizeof(name), "level.%d", k);
        got = single_get(s, name, &n);
        for (size_t i = 0; i < n; i++)
            means[k] += got[i] / (double)n;
        total += means[k];
        free(got);
        snprintf(output, sizeof(output), "grad/in.fs.%d", k);
        snprintf(name, sizeof(name), "grad.fs.%d", k);
        ok = compare(c, s, output, name, err);
    }
    return ok && cf_compare(c, "out.value", &total, 1, err) &&
           cf_compare(c, "out.per_level", means, (size_t)levels, err);
}

bool cf_run_hcl(struct cf_case *c, struct error *err)
{
    struct graph *g = graph_new();
    struct single s;
    int64_t batch = 0;
    int levels = build_levels(g, c, &batch);
    float *seed;
    bool ok;

    if (!single_open(&s, g, c->backend, err))
        return false;
    seed = NEW_ARRAY(float, (size_t)batch);
    for (int64_t i = 0; i < batch; i++)
        seed[i] = (float)(1 / (double)batch);
    single_set(&s, "seed", seed);
    free(seed);
    ok = set_inputs(&s, c, err);
    if (ok) {
        single_run(&s);
        ok = compare_levels(c, &s, levels, err);
    }
    single_close(&s);
    return ok;
}

static struct graph *build_abf(const struct cf_case *c)
{
    struct graph *g = graph_new();
    const char *mode = js_string(js_get(c->hyper, "mode"), "train");
    const struct net net = {.g = g, .training = strcmp(mode, "train") == 0, .prefix = ""};
    int64_t size = js_int(js_get(c->hyper, "out_shape"), 1);
    const struct abf_form form = {.mid = js_int(js_get(c->hyper, "mid"), 0),
                                  .out = js_int(js_get(c->hyper, "out"), 0),
                                  .height = size,
                                  .width = size};
    value_id x = input(g, c, "in.x"), residual = input(g, c, "in.residual"), y;

    graph_want_grad(g, x);
    graph_want_grad(g, residual);
    y = abf_build(&net, &form, x, &residual);
    for (size_t i = 0; !net.training && i < g->values.n; i++)
        if (g->values.at[i].kind == VALUE_PARAM)
            graph_want_grad(g, (value_id)i);
    graph_mark_output(g, y, "y");
    graph_mark_output(g, residual, "residual");
    graph_seed(g, y, input(g, c, "in.up.y"));
    graph_seed(g, residual, input(g, c, "in.up.residual"));
    return g;
}

static bool fill(const struct cf_case *c, const struct flat_entry *e, size_t n, float *region,
                 struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        char *name = str_fmt("param.%s", e[i].name);
        float *data = cf_floats(c, name, err);

        free(name);
        if (!data)
            return false;
        memcpy(region + e[i].offset, data, e[i].count * sizeof(float));
        free(data);
    }
    return true;
}

static bool compare_entry(struct cf_case *c, const char *prefix, const struct flat_entry *e,
                          const float *at, struct error *err)
{
    char *name = str_fmt("%s%s", prefix, e->name);
    double *wide = NEW_ARRAY(double, e->count);
    bool ok;

    for (size_t i = 0; i < e->count; i++)
        wide[i] = (double)at[i];
    ok = !st_find(c->st, name) || cf_compare(c, name, wide, e->count, err);
    free(wide);
    free(name);
    return ok;
}

/* Gradients, and the running statistics as the trainer moves them. */
static bool compare_regions(struct cf_case *c, const struct single *s, struct error *err)
{
    const struct flat *f = &s->flat;
    bool ok = true;

    for (size_t i = 0; i < f->buffer_count; i++)
        s->buffers[i] = 0.9f * s->buffers[i] + 0.1f * s->grads[f->param_count + i];
    for (size_t i = 0; ok && i < f->params.n; i++)
        ok = compare_entry(c, "grad.param.", &f->params.at[i], s->grads + f->params.at[i].offset,
                           err);
    for (size_t i = 0; ok && i < f->buffers.n; i++)
        ok = compare_entry(c, "out.buffer.", &f->buffers.at[i],
                           s->buffers + f->buffers.at[i].offset, err);
    return ok;
}

bool cf_run_abf(struct cf_case *c, struct error *err)
{
    struct single s;
    bool ok;

    if (!single_open(&s, build_abf(c), c->backend, err))
        return false;
    ok = set_inputs(&s, c, err) && fill(c, s.flat.params.at, s.flat.params.n, s.params, err) &&
         fill(c, s.flat.buffers.at, s.flat.buffers.n, s.buffers, err);
    if (ok) {
        single_run(&s);
        ok = compare(c, &s, "y", "out.y", err) && compare(c, &s, "residual", "out.residual", err) &&
             compare(c, &s, "grad/in.x", "grad.x", err) &&
             compare(c, &s, "grad/in.residual", "grad.residual", err) &&
             compare_regions(c, &s, err);
    }
    single_close(&s);
    return ok;
}
