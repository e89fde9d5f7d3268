#include "worker/inspect_model.h"

#include <inttypes.h>

#include "proto/base/mem.h"
#include "worker/engine/ir/op.h"
#include "worker/nets.h"

struct figures {
    int64_t parameters, layers, width;
    double multiply_adds;
};

static bool is_tensor(const struct value *v)
{
    return v->kind == VALUE_PARAM || v->kind == VALUE_BUFFER;
}

static double multiply_adds(const struct graph *g, const struct node *n)
{
    return n->op->flops ? n->op->flops(g, n) / 2 : 0;
}

/* Of the node itself. */
static int64_t parameters(const struct graph *g, const struct node *n)
{
    int64_t count = 0;

    for (int i = 0; i < n->n_in; i++)
        if (g->values.at[n->in[i]].kind == VALUE_PARAM)
            count += shape_count(graph_shape(g, n->in[i]));
    return count;
}

static struct figures figures_of(const struct graph *g)
{
    struct figures f = {.layers = (int64_t)g->nodes.n,
                        .width = graph_shape(g, graph_find(g, "features"))->dim[1]};

    for (size_t i = 0; i < g->nodes.n; i++) {
        f.parameters += parameters(g, &g->nodes.at[i]);
        f.multiply_adds += multiply_adds(g, &g->nodes.at[i]);
    }
    return f;
}

static struct graph *open_graph(const struct model_def *model, int64_t size, int64_t classes,
                                struct error *err)
{
    struct graph *g = nets_inference_graph(model, 1, size, classes, false);

    if (graph_ok(g, err))
        return g;
    err_wrap(err, "model %s", model->name);
    graph_free(g);
    return NULL;
}

static void tensors_text(const struct graph *g, struct buf *out)
{
    char text[SHAPE_TEXT];

    for (size_t i = 0; i < g->values.n; i++) {
        const struct value *v = &g->values.at[i];

        if (is_tensor(v))
            buf_fmt(out, "%-40s %-18s%s\n", v->name, shape_text(&v->shape, text),
                    v->kind == VALUE_BUFFER ? " buffer" : "");
    }
}

static void layers_text(const struct graph *g, struct buf *out)
{
    char text[SHAPE_TEXT];

    buf_fmt(out, "\n%-36s %-20s %-18s %10s %14s\n", "layer", "operator", "output", "parameters",
            "multiply-adds");
    for (size_t i = 0; i < g->nodes.n; i++) {
        const struct node *n = &g->nodes.at[i];

        buf_fmt(out, "%-36s %-20s %-18s %10" PRId64 " %14.0f\n", n->name, n->op->name,
                shape_text(graph_shape(g, n->out[0]), text), parameters(g, n), multiply_adds(g, n));
    }
}

bool inspect_model_text(const struct model_def *model, int64_t size, int64_t classes,
                        struct buf *out, struct error *err)
{
    struct graph *g = open_graph(model, size, classes, err);
    struct figures f;

    if (!g)
        return false;
    f = figures_of(g);
    tensors_text(g, out);
    layers_text(g, out);
    buf_fmt(out,
            "\nlayers: %" PRId64 "\nparameters: %" PRId64 "\nfeature width: %" PRId64
            "\nmultiply-adds: %.0f for an image of %" PRId64 "x%" PRId64
            ", in convolutions and linear layers; each is 2 FLOP, together %.2f MFLOP\n",
            f.layers, f.parameters, f.width, f.multiply_adds, size, size,
            f.multiply_adds * 2 / 1e6);
    graph_free(g);
    return true;
}

static struct json *shape_json(const struct shape *s)
{
    char text[SHAPE_TEXT];

    return js_new_string(shape_text(s, text));
}

static struct json *tensors_json(const struct graph *g)
{
    struct json *list = js_new_array();

    for (size_t i = 0; i < g->values.n; i++) {
        const struct value *v = &g->values.at[i];
        struct json *j;

        if (!is_tensor(v))
            continue;
        j = js_new_object();
        js_set(j, "name", js_new_string(v->name));
        js_set(j, "shape", shape_json(&v->shape));
        js_set(j, "buffer", js_new_bool(v->kind == VALUE_BUFFER));
        js_push(list, j);
    }
    return list;
}

static struct json *layers_json(const struct graph *g)
{
    struct json *list = js_new_array();

    for (size_t i = 0; i < g->nodes.n; i++) {
        const struct node *n = &g->nodes.at[i];
        struct json *j = js_new_object();

        js_set(j, "layer", js_new_string(n->name));
        js_set(j, "op", js_new_string(n->op->name));
        js_set(j, "output", shape_json(graph_shape(g, n->out[0])));
        js_set(j, "parameters", js_new_int(parameters(g, n)));
        js_set(j, "multiply_adds", js_new_int((int64_t)multiply_adds(g, n)));
        js_push(list, j);
    }
    return list;
}

static void set_figures(struct json *to, const struct graph *g)
{
    struct figures f = figures_of(g);

    js_set(to, "parameters", js_new_int(f.parameters));
    js_set(to, "feature_width", js_new_int(f.width));
    js_set(to, "multiply_adds", js_new_int((int64_t)f.multiply_adds));
}

bool inspect_model_json(const struct model_def *model, int64_t size, int64_t classes,
                        struct json *to, struct error *err)
{
    struct graph *g = open_graph(model, size, classes, err);

    if (!g)
        return false;
    js_set(to, "tensors", tensors_json(g));
    js_set(to, "layers", layers_json(g));
    set_figures(to, g);
    graph_free(g);
    return true;
}

struct json *inspect_model_list(struct error *err)
{
    struct json *list = js_new_array();

    for (size_t i = 0; i < model_registry_len; i++) {
        const struct model_def *m = &model_registry[i];
        struct graph *g = open_graph(m, m->facts->image_size, m->facts->classes, err);
        struct json *j = js_new_object();

        js_push(list, j);
        if (!g) {
            js_free(list);
            return NULL;
        }
        js_set(j, "name", js_new_string(m->name));
        js_set(j, "image_size", js_new_int(m->facts->image_size));
        js_set(j, "classes", js_new_int(m->facts->classes));
        set_figures(j, g);
        graph_free(g);
    }
    return list;
}
