/* Operators for a foreign runtime: `operators DIR` writes each case of tests/ops that has a form in ONNX as
 * DIR/NAME.onnx, with DIR/NAME.x, what it reads, and DIR/NAME.y, what the engine makes of it, all floats.
 * Fails when an operator has a form, but no case with it was written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/ops/cases.h"
#include "worker/conformance/single.h"
#include "worker/engine/ops/ops.h"
#include "worker/onnx/export.h"
#include "worker/onnx/nodes.h"

enum {
    MAX_OPS = 200
};

struct operators {
    const char *dir;
    bool has_form[MAX_OPS], written[MAX_OPS];
};

static size_t number_of(const struct op_def *op)
{
    for (size_t i = 0; i < op_registry_len; i++)
        if (op_registry[i] == op)
            return i;
    return MAX_OPS - 1;
}

/* As in tests/ops: away from 0, and positive where the name begins with '+'. */
static float *draw(const struct value *v)
{
    size_t n = (size_t)shape_count(&v->shape);
    uint64_t key = rng_key_text(3, v->name);
    float *x = NEW_ARRAY(float, n);

    for (size_t i = 0; i < n; i++) {
        x[i] = (float)(0.05 + 0.95 * rng_uniform(key, i));
        if (v->name[0] != '+' && (rng_u64(key, i) & 1))
            x[i] = -x[i];
    }
    return x;
}

/* The case with its first input alone, which is called "x"; the others become constants. NULL if it has none,
 * or one that is no real number. */
static struct graph *open_case(const struct op_case *c, float **x)
{
    struct graph *g = graph_new();
    value_id y = c->build(g);

    *x = NULL;
    g->wants.n = 0;
    graph_mark_output(g, y, "y");
    for (size_t i = 0; i < g->values.n; i++) {
        struct value *v = &g->values.at[i];

        if (v->kind != VALUE_INPUT)
            continue;
        if (v->dtype != DT_REAL) {
            graph_free(g);
            free(*x);
            return NULL;
        }
        if (*x) {
            v->owned = draw(v);
            graph_set_const(g, (value_id)i, v->owned);
        } else {
            *x = draw(v);
            graph_rename(g, (value_id)i, "x");
        }
    }
    return g;
}

static bool save(const struct operators *o, const char *name, const char *what, const void *data,
                 size_t bytes, struct error *err)
{
    char *path = str_fmt("%s/%s%s", o->dir, name, what);
    bool ok = file_replace(path, data, bytes, 0644, err);

    free(path);
    return ok;
}

static void note_forms(const struct graph *g, bool *to)
{
    for (size_t i = 0; i < g->nodes.n; i++) {
        Onnx__Graph *scratch = NEW(Onnx__Graph);
        struct error err;

        onnx__graph__init(scratch);
        if (onnx_write_node(scratch, g, &g->nodes.at[i], &err))
            to[number_of(g->nodes.at[i].op)] = true;
        onnx__graph__free_unpacked(scratch, NULL);
    }
}

/* Takes the graph. */
static bool save_values(const struct operators *o, const char *name, struct graph *take_graph,
                        const float *x, struct error *err)
{
    size_t n_x = (size_t)shape_count(graph_shape(take_graph, graph_find(take_graph, "x"))), n;
    struct single s;
    double *y;
    float *narrow;
    bool ok;

    if (!single_open(&s, take_graph, "ref", err))
        return false;
    single_set(&s, "x", x);
    single_run(&s);
    y = single_get(&s, "y", &n);
    narrow = NEW_ARRAY(float, n);
    for (size_t i = 0; i < n; i++)
        narrow[i] = (float)y[i];
    ok = save(o, name, ".x", x, n_x * sizeof(*x), err) &&
         save(o, name, ".y", narrow, n * sizeof(*narrow), err);
    free(narrow);
    free(y);
    single_close(&s);
    return ok;
}

static bool write_case(struct operators *o, const struct op_case *c, struct error *err)
{
    static const char *const outputs[] = {"y", NULL};
    struct buf file = buf_new(0);
    float *x;
    struct graph *g = open_case(c, &x);
    bool ok = true;

    if (!g)
        return true;
    note_forms(g, o->has_form);
    if (onnx_export(g, &(struct onnx_labels){c->name, outputs, NULL, 0}, &file, err)) {
        note_forms(g, o->written);
        ok = save(o, c->name, ".onnx", file.data, file.len, err) &&
             save_values(o, c->name, g, x, err);
    } else {
        ok = err->code == ERR_UNSUPPORTED;
        graph_free(g);
    }
    buf_free(&file);
    free(x);
    return ok || err_wrap(err, "%s", c->name);
}

int main(int argc, char **argv)
{
    struct operators o = {.dir = argc == 2 ? argv[1] : NULL};
    struct error err;
    bool ok = o.dir != NULL;

    if (!ok)
        fprintf(stderr, "usage: operators DIR\n");
    for (size_t i = 0; ok && i < n_op_cases; i++)
        if (!write_case(&o, &op_cases[i], &err)) {
            fprintf(stderr, "operators: %s\n", err.msg);
            ok = false;
        }
    for (size_t i = 0; ok && i < op_registry_len; i++)
        if (o.has_form[i] && !o.written[i]) {
            fprintf(stderr, "operators: no case writes %s as ONNX\n", op_registry[i]->name);
            ok = false;
        }
    return ok ? 0 : 1;
}
