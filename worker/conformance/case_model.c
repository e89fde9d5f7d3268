/* model: one network from generated parameters, in evaluation form (folded and fused, like a teacher)
 * and in training form with one backward pass. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/conformance/rows.h"
#include "worker/conformance/single.h"
#include "worker/engine/ops/ops.h"
#include "worker/losses/terms.h"
#include "worker/nets.h"

struct model_case {
    struct cf_case *c;
    const struct model_def *def;
    struct cf_state state;
    int64_t batch, classes, size;
    float *images;
    int32_t *labels;
};

static int64_t meta_int(const struct cf_case *c, const char *key)
{
    int64_t v = 0;

    str_int(cf_meta(c, key), 0, INT32_MAX, &v);
    return v;
}

static bool read_case(struct model_case *m, struct error *err)
{
    struct json *input = cf_meta_json(m->c, "input");
    struct cf_images images = {.salt = cf_meta(m->c, "salt")};

    m->batch = meta_int(m->c, "batch");
    m->classes = meta_int(m->c, "num_classes");
    m->size = meta_int(m->c, "input_size");
    m->labels = cf_labels(m->c, "in.labels", err);
    if (m->batch < 1 || m->classes < 1 || m->size < 1 || !m->labels) {
        js_free(input);
        return m->labels && err_set(err, ERR_DATA, "batch, num_classes or input_size is missing");
    }
    images.prefix = js_string(js_get(input, "prefix"), "");
    images.n = m->batch;
    images.size = m->size;
    images.labels = js_bool(js_get(input, "classes"), false) ? m->labels : NULL;
    m->images = NEW_ARRAY(float, (size_t)(m->batch * 3 * m->size * m->size));
    cf_gen_images(&images, m->images);
    js_free(input);
    return cf_state_open(&m->state, m->c, "state", "prefix", err);
}

/* Parameters and buffers of the graph become constants from the generator. */
static bool set_constants(const struct model_case *m, struct graph *g, float **all,
                          struct error *err)
{
    size_t total = 0, at = 0;

    for (size_t i = 0; i < g->values.n; i++)
        total += (size_t)shape_count(&g->values.at[i].shape);
    *all = NEW_ARRAY(float, total);
    for (size_t i = 0; i < g->values.n; i++) {
        const struct value *v = &g->values.at[i];
        size_t n = (size_t)shape_count(&v->shape);

        if (v->kind != VALUE_PARAM && v->kind != VALUE_BUFFER)
            continue;
        if (!cf_state_fill(&m->state, v->name, n, *all + at, err))
            return false;
        graph_set_const(g, (value_id)i, *all + at);
        at += n;
    }
    return true;
}

static bool compare_value(struct model_case *m, const struct single *s, const char *io,
                          const char *name, struct error *err)
{
    size_t n;
    double *got = single_get(s, io, &n);
    bool ok = cf_compare(m->c, name, got, n, err);

    free(got);
    return ok;
}

/* Rows for each name of a metadata list, through a function that finds the tensor. */
static bool compare_list(struct model_case *m, const struct single *s, const char *list,
                         const char *probe, const char *prefix,
                         const float *(*find)(const struct single *s, const char *name, size_t *n),
                         struct error *err)
{
    struct json *names = cf_meta_json(m->c, list);
    struct rows r = {.salt = cf_meta(m->c, "salt"), .probe_prefix = probe};
    bool ok = true;

    for (size_t i = 0; ok && i < js_len(names); i++) {
        const char *name = js_string(js_at(names, i), "");
        size_t n;
        const float *x = find(s, name, &n);

        if (x)
            rows_add(&r, name, x, n);
        else
            ok = err_set(err, ERR_FAILED, "%s: the model has no %s", list, name);
    }
    ok = rows_compare(&r, m->c, prefix, err) && ok;
    js_free(names);
    return ok;
}

static const float *find_output(const struct single *s, const char *name, size_t *n)
{
    int io = plan_io_find(s->plan, name);

    if (io < 0)
        return NULL;
    *n = (size_t)shape_count(&s->plan->io.at[io].shape);
    return s->plan->io.at[io].bound;
}

/* The case's taps of that name, which are numbered from 0. */
static int count_listed(const struct model_case *m, const char *prefix)
{
    struct json *names = cf_meta_json(m->c, "taps");
    int n = 0;

    for (size_t i = 0; i < js_len(names); i++)
        n += str_starts(js_string(js_at(names, i), ""), prefix);
    js_free(names);
    return n;
}

/* Ours begin with the stem. Where the reference taps one stage less, it leaves the stem out. */
static void number_taps(const struct model_case *m, struct graph *g, const char *prefix)
{
    char name[48], lower[48];
    value_id v;

    snprintf(name, sizeof(name), "%s%d", prefix, count_listed(m, prefix));
    if (graph_find(g, name) == NO_VALUE)
        return;
    for (int k = 0;; k++) {
        snprintf(name, sizeof(name), "%s%d", prefix, k);
        snprintf(lower, sizeof(lower), k ? "%s%d" : "%sstem", prefix, k - 1);
        if ((v = graph_find(g, name)) == NO_VALUE)
            return;
        graph_rename(g, v, lower);
    }
}

static bool run_eval(struct model_case *m, struct error *err)
{
    struct graph *g = nets_inference_graph(m->def, m->batch, m->size, m->classes, true);
    struct single s;
    float *weights = NULL;
    bool ok = set_constants(m, g, &weights, err);

    number_taps(m, g, "feats.");
    number_taps(m, g, "preact_feats.");
    if (!ok)
        graph_free(g);
    ok = ok && single_open(&s, g, m->c->backend, err);
    free(weights);
    if (!ok)
        return false;
    single_set(&s, "images", m->images);
    single_run(&s);
    ok = compare_value(m, &s, "logits", "eval.logits", err) &&
         compare_value(m, &s, "features", "eval.feat", err) &&
         compare_list(m, &s, "taps", "probe/tap/", "eval.tap", find_output, err);
    single_close(&s);
    return ok;
}

/* Mean cross-entropy + 0.01 x the sum of all squared features. */
static struct graph *train_graph(const struct model_case *m)
{
    struct graph *g = graph_new();
    struct net net = {.g = g, .training = true, .prefix = ""};
    value_id x = graph_input(g, "images", DT_REAL, shape4(m->batch, 3, m->size, m->size));
    struct model_outputs out;
    value_id ce, squares;

    graph_want_grad(g, x);
    m->def->build(&net, m->def, x, m->classes, &out);
    ce = term_cross_entropy(g, out.logits, graph_input(g, "labels", DT_INDEX, shape1(m->batch)));
    squares = g_row_sum(g, g_mul(g, out.features, out.features));
    graph_mark_output(g, out.logits, "logits");
    graph_mark_output(g, out.features, "features");
    graph_mark_output(g, ce, "ce");
    graph_mark_output(g, squares, "squares");
    graph_seed(g, ce, graph_input(g, "seed/ce", DT_REAL, shape1(m->batch)));
    graph_seed(g, squares, graph_input(g, "seed/squares", DT_REAL, shape1(m->batch)));
    return g;
}

static bool fill_state(const struct model_case *m, struct single *s, struct error *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < s->flat.params.n; i++) {
        const struct flat_entry *e = &s->flat.params.at[i];

        ok = cf_state_fill(&m->state, e->name, e->count, s->params + e->offset, err);
    }
    for (size_t i = 0; ok && i < s->flat.buffers.n; i++) {
        const struct flat_entry *e = &s->flat.buffers.at[i];

        ok = cf_state_fill(&m->state, e->name, e->count, s->buffers + e->offset, err);
    }
    return ok;
}

static double sum_of(const struct single *s, const char *name)
{
    size_t n;
    double *x = single_get(s, name, &n), sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i];
    free(x);
    return sum;
}

static const float *find_gradient(const struct single *s, const char *name, size_t *n)
{
    const struct flat_entry *e = flat_find(&s->flat, name);

    if (!e)
        return NULL;
    *n = e->count;
    return s->grads + e->offset;
}

/* By now the buffers are those after the pass. */
static const float *find_buffer(const struct single *s, const char *name, size_t *n)
{
    const struct flat_entry *e = flat_find(&s->flat, name);

    if (!e)
        return NULL;
    *n = e->count;
    return s->buffers + e->offset;
}

static bool compare_train(struct model_case *m, struct single *s, struct error *err)
{
    struct rows input = {.salt = cf_meta(m->c, "salt"), .probe_prefix = "probe/grad/"};
    double ce = sum_of(s, "ce") / (double)m->batch, loss = ce + 0.01 * sum_of(s, "squares");
    size_t n = 0;
    const float *dx = find_output(s, "grad/images", &n);

    for (size_t i = 0; i < s->flat.buffer_count; i++)
        s->buffers[i] = 0.9f * s->buffers[i] + 0.1f * s->grads[s->flat.param_count + i];
    rows_add(&input, "x", dx, n);
    return rows_compare(&input, m->c, "grad_input", err) &&
           compare_value(m, s, "logits", "train.logits", err) &&
           compare_value(m, s, "features", "train.feat", err) &&
           cf_compare(m->c, "train.ce", &ce, 1, err) &&
           cf_compare(m->c, "train.loss", &loss, 1, err) &&
           compare_list(m, s, "params", "probe/grad/", "grad", find_gradient, err) &&
           compare_list(m, s, "buffers", "probe/buffer/", "buffer", find_buffer, err);
}

static bool run_train(struct model_case *m, struct error *err)
{
    float *seed = NEW_ARRAY(float, (size_t)m->batch);
    struct single s;
    bool ok = single_open(&s, train_graph(m), m->c->backend, err);

    if (!ok) {
        free(seed);
        return false;
    }
    for (int64_t i = 0; i < m->batch; i++)
        seed[i] = (float)(1 / (double)m->batch);
    single_set(&s, "seed/ce", seed);
    for (int64_t i = 0; i < m->batch; i++)
        seed[i] = 0.01f;
    single_set(&s, "seed/squares", seed);
    free(seed);
    single_set(&s, "images", m->images);
    single_set(&s, "labels", m->labels);
    ok = fill_state(m, &s, err);
    if (ok) {
        single_run(&s);
        ok = compare_train(m, &s, err);
    }
    single_close(&s);
    return ok;
}

bool cf_run_model(struct cf_case *c, struct error *err)
{
    struct model_case m = {.c = c, .def = model_find(cf_meta(c, "model"), NULL)};
    bool ok;

    if (!m.def)
        return err_set(err, ERR_UNSUPPORTED, "there is no model %s", cf_meta(c, "model"));
    ok = read_case(&m, err) && run_eval(&m, err) && run_train(&m, err);
    cf_state_close(&m.state);
    free(m.images);
    free(m.labels);
    return ok;
}
