/* onnx: an exported graph, computed as it is written, on one batch of images. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/conformance/conformance.h"
#include "worker/conformance/single.h"
#include "worker/nets.h"
#include "worker/onnx/import.h"

/* The images' shape, and how many logits are expected. */
struct sizes {
    struct shape images;
    int64_t classes;
};

static bool read_sizes(const struct cf_case *c, struct sizes *s, struct error *err)
{
    const struct st_tensor *x = cf_tensor(c, "in.x", err), *y = cf_tensor(c, "out.logits", err);

    if (!x || !y)
        return false;
    if (x->rank != 4 || y->rank != 2 || x->shape[2] != x->shape[3])
        return err_set(err, ERR_DATA, "in.x is no batch of square images, or out.logits no matrix");
    s->images = shape4(x->shape[0], x->shape[1], x->shape[2], x->shape[3]);
    s->classes = y->shape[1];
    return true;
}

static struct graph *graph_of(const struct onnx_model *m, const struct sizes *s)
{
    struct graph *g = graph_new();
    const struct net net = {.g = g, .prefix = ""};
    value_id images = graph_input(g, "images", DT_REAL, s->images);
    struct model_outputs out;

    onnx_build(m, &net, images, s->classes, &out);
    graph_mark_output(g, out.logits, "logits");
    graph_mark_output(g, out.features, "features");
    return g;
}

static bool tensor(void *arg, const char *name, const struct shape *shape, float *out,
                   struct error *err)
{
    size_t n;
    const struct st_tensor *t = onnx_tensors(arg, &n);

    for (size_t i = 0; i < n; i++)
        if (strcmp(t[i].name, name) == 0 && st_count(&t[i]) == shape_count(shape))
            return st_to_float(&t[i], out);
    return err_set(err, ERR_DATA, "no tensor %s", name);
}

static bool compare(struct cf_case *c, const struct single *s, const char *ours, const char *theirs,
                    struct error *err)
{
    size_t n;
    double *got = single_get(s, ours, &n);
    bool ok = got ? cf_compare(c, theirs, got, n, err) : err_set(err, ERR_FAILED, "no %s", ours);

    free(got);
    return ok;
}

static bool compute(struct cf_case *c, struct graph *take_graph, struct error *err)
{
    float *images = cf_floats(c, "in.x", err);
    struct single s;
    bool ok = single_open(&s, take_graph, c->backend, err) && images;

    if (ok) {
        single_set(&s, "images", images);
        single_run(&s);
        ok = compare(c, &s, "logits", "out.logits", err) &&
             compare(c, &s, "features", "out.feat", err);
        single_close(&s);
    }
    free(images);
    return ok;
}

static bool run_model(struct cf_case *c, struct onnx_model *m, struct error *err)
{
    struct sizes sizes = {0};
    struct graph *g;
    float *values = NULL;
    bool ok;

    if (!read_sizes(c, &sizes, err))
        return false;
    g = graph_of(m, &sizes);
    ok = graph_ok(g, err) && nets_set_constants(g, tensor, m, &values, err);
    if (ok)
        ok = compute(c, g, err);
    else
        graph_free(g);
    free(values);
    return ok;
}

bool cf_run_onnx(struct cf_case *c, struct error *err)
{
    const struct onnx_options options = {.as_written = true};
    struct onnx_model *m;
    bool ok;

    if (!c->model_file)
        return err_set(err, ERR_DATA, "the index names no model_file");
    m = onnx_open(c->model_file, &options, err);
    ok = m && run_model(c, m, err);
    onnx_close(m);
    return ok;
}
