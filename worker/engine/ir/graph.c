#include "worker/engine/ir/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "worker/engine/ir/op.h"

static const struct {
    const char *name;
    size_t bytes; /* 0: those of a real */
} dtypes[] = {
    [DT_REAL] = {"real", 0},
    [DT_INDEX] = {"index", sizeof(int32_t)},
    [DT_U8] = {"u8", 1},
    [DT_S8] = {"s8", 1},
};

const char *dtype_name(enum dtype t)
{
    return dtypes[t].name;
}

size_t dtype_bytes(enum dtype t, size_t real)
{
    return dtypes[t].bytes ? dtypes[t].bytes : real;
}

struct graph *graph_new(void)
{
    return NEW(struct graph);
}

void graph_drop_node(struct node *n)
{
    free(n->name);
    free(n->attr);
}

void graph_free(struct graph *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->values.n; i++) {
        free(g->values.at[i].name);
        free(g->values.at[i].owned);
    }
    for (size_t i = 0; i < g->nodes.n; i++)
        graph_drop_node(&g->nodes.at[i]);
    vec_free(&g->values);
    vec_free(&g->nodes);
    vec_free(&g->seeds);
    vec_free(&g->wants);
    vec_free(&g->sinks);
    free(g);
}

bool graph_ok(const struct graph *g, struct error *err)
{
    if (g->err.code == ERR_NONE)
        return true;
    *err = g->err;
    return false;
}

value_id graph_fail(struct graph *g, enum err_code code, const char *fmt, ...)
{
    va_list ap;

    if (g->err.code != ERR_NONE)
        return NO_VALUE;
    g->err.code = code;
    va_start(ap, fmt);
    vsnprintf(g->err.msg, sizeof(g->err.msg), fmt, ap);
    va_end(ap);
    return NO_VALUE;
}

static value_id new_value(struct graph *g, const char *name, enum value_kind kind, enum dtype dtype,
                          struct shape shape)
{
    vec_push(&g->values, (struct value){.name = str_dup(name),
                                        .kind = kind,
                                        .dtype = dtype,
                                        .shape = shape,
                                        .producer = NO_NODE});
    return (value_id)g->values.n - 1;
}

value_id graph_input(struct graph *g, const char *name, enum dtype dtype, struct shape shape)
{
    return new_value(g, name, VALUE_INPUT, dtype, shape);
}

value_id graph_param(struct graph *g, const char *name, enum param_role role, struct shape shape)
{
    bool buffer = role == ROLE_BN_MEAN || role == ROLE_BN_VAR;
    value_id v = new_value(g, name, buffer ? VALUE_BUFFER : VALUE_PARAM, DT_REAL, shape);

    g->values.at[v].role = role;
    return v;
}

value_id graph_const(struct graph *g, const char *name, struct shape shape, float *take_data)
{
    value_id v = new_value(g, name, VALUE_CONST, DT_REAL, shape);

    g->values.at[v].data = g->values.at[v].owned = take_data;
    return v;
}

void graph_set_const(struct graph *g, value_id v, const float *data)
{
    g->values.at[v].kind = VALUE_CONST;
    g->values.at[v].data = data;
}

static void *copy_attr(const struct op_def *op, const void *attr)
{
    void *copy;

    if (!op->attr_size)
        return NULL;
    copy = mem_calloc(1, op->attr_size);
    if (attr)
        memcpy(copy, attr, op->attr_size);
    else
        attr_defaults(op->attrs, copy);
    return copy;
}

static void count_uses(struct graph *g, const struct node *n, int by)
{
    for (int k = 0; k < n->n_in; k++)
        g->values.at[n->in[k]].uses += by;
}

value_id graph_add(struct graph *g, const struct op_def *op, const char *name, const value_id *in,
                   int n_in, const void *attr)
{
    node_id id = (node_id)g->nodes.n;
    struct node n = {.op = op, .n_in = n_in, .n_out = op->n_out};

    if (g->err.code != ERR_NONE)
        return NO_VALUE;
    ASSERT(n_in >= op->min_in && n_in <= op->max_in);
    for (int i = 0; i < n_in; i++) {
        ASSERT(in[i] >= 0 && (size_t)in[i] < g->values.n);
        n.in[i] = in[i];
    }
    n.name = str_dup(name);
    n.attr = copy_attr(op, attr);
    for (int i = 0; i < n.n_out; i++) {
        n.out[i] = new_value(g, "", VALUE_TEMP, DT_REAL, (struct shape){0});
        g->values.at[n.out[i]].producer = id;
    }
    vec_push(&g->nodes, n);
    count_uses(g, &n, 1);
    op->infer(g, &g->nodes.at[id]);
    if (g->err.code != ERR_NONE)
        err_wrap(&g->err, "%s %s", op->name, name);
    return g->err.code == ERR_NONE ? n.out[0] : NO_VALUE;
}

value_id graph_out(const struct graph *g, value_id v, int k)
{
    if (v == NO_VALUE)
        return NO_VALUE;
    return g->nodes.at[g->values.at[v].producer].out[k];
}

void graph_seed(struct graph *g, value_id value, value_id seed)
{
    if (value >= 0 && seed >= 0)
        vec_push(&g->seeds, (struct grad_seed){value, seed});
}

void graph_want_grad(struct graph *g, value_id wrt)
{
    if (wrt >= 0)
        vec_push(&g->wants, (struct grad_want){wrt});
}

void graph_sink(struct graph *g, value_id value, value_id like)
{
    if (value >= 0 && like >= 0)
        vec_push(&g->sinks, (struct sink){value, like});
}

void graph_rename(struct graph *g, value_id v, const char *name)
{
    free(g->values.at[v].name);
    g->values.at[v].name = str_dup(name);
}

void graph_mark_output(struct graph *g, value_id v, const char *name)
{
    if (v == NO_VALUE)
        return;
    g->values.at[v].output = true;
    if (!g->values.at[v].name[0])
        graph_rename(g, v, name);
}

void graph_name_node(struct graph *g, node_id n, const char *name)
{
    char *copy = str_dup(name);

    free(g->nodes.at[n].name);
    g->nodes.at[n].name = copy;
}

void graph_name_layer(struct graph *g, size_t first, const char *layer)
{
    for (size_t i = first; i < g->nodes.n; i++)
        if (!g->nodes.at[i].name[0])
            graph_name_node(g, (node_id)i, layer);
}

void graph_replace_node(struct graph *g, node_id id, const struct op_def *op, const value_id *in,
                        int n_in, const void *attr)
{
    struct node *n = &g->nodes.at[id];
    void *copy = copy_attr(op, attr);

    count_uses(g, n, -1);
    ASSERT(n_in >= op->min_in && n_in <= op->max_in && n->n_out == op->n_out);
    free(n->attr);
    n->attr = copy;
    n->op = op;
    n->n_in = n_in;
    memcpy(n->in, in, sizeof(*in) * (size_t)n_in);
    count_uses(g, n, 1);
}

void graph_remove_node(struct graph *g, node_id id)
{
    struct node *n = &g->nodes.at[id];

    if (n->op)
        count_uses(g, n, -1);
    n->op = NULL;
}

struct node *graph_take_nodes(struct graph *g, size_t *n)
{
    struct node *taken = g->nodes.at;

    *n = g->nodes.n;
    g->nodes.at = NULL;
    g->nodes.n = g->nodes.cap = 0;
    return taken;
}

void graph_put_node(struct graph *g, struct node take_node)
{
    for (int k = 0; k < take_node.n_out; k++)
        g->values.at[take_node.out[k]].producer = (node_id)g->nodes.n;
    vec_push(&g->nodes, take_node);
}

const struct shape *graph_shape(const struct graph *g, value_id v)
{
    return &g->values.at[v].shape;
}

value_id graph_find(const struct graph *g, const char *name)
{
    for (size_t i = 0; i < g->values.n; i++)
        if (strcmp(g->values.at[i].name, name) == 0)
            return (value_id)i;
    return NO_VALUE;
}

int graph_uses(const struct graph *g, value_id v)
{
    return g->values.at[v].uses;
}

void graph_reread(struct graph *g, struct node *n, int k, value_id v)
{
    g->values.at[n->in[k]].uses--;
    n->in[k] = v;
    g->values.at[v].uses++;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool verify_names(const struct graph *g, struct error *err)
{
    const char **names = NEW_ARRAY(const char *, g->values.n);
    size_t n = 0, same = 1;

    for (size_t i = 0; i < g->values.n; i++)
        if (g->values.at[i].name[0])
            names[n++] = g->values.at[i].name;
    qsort(names, n, sizeof(*names), by_text);
    while (same < n && strcmp(names[same - 1], names[same]) != 0)
        same++;
    if (same < n)
        err_set(err, ERR_INVALID, "two values are called %s", names[same]);
    free(names);
    return same >= n;
}

bool graph_verify(const struct graph *g, struct error *err)
{
    if (!graph_ok(g, err))
        return false;
    for (size_t i = 0; i < g->nodes.n; i++) {
        const struct node *n = &g->nodes.at[i];

        for (int k = 0; n->op && k < n->n_in; k++) {
            const struct value *v = &g->values.at[n->in[k]];

            if (v->kind == VALUE_TEMP &&
                (v->producer >= (node_id)i || !g->nodes.at[v->producer].op))
                return err_set(err, ERR_INVALID, "node %zu (%s %s) reads %%%d before it is made", i,
                               n->op->name, n->name, n->in[k]);
        }
    }
    return verify_names(g, err);
}

void graph_dump_node(const struct graph *g, const struct node *n, struct buf *b)
{
    const struct value *first = &g->values.at[n->out[0]];
    char text[SHAPE_TEXT];

    for (int k = 0; k < n->n_out; k++)
        buf_fmt(b, "%s%%%d", k ? ", " : "", n->out[k]);
    buf_fmt(b, " = %s(", n->op->name);
    for (int k = 0; k < n->n_in; k++) {
        const struct value *v = &g->values.at[n->in[k]];

        if (v->kind == VALUE_TEMP || !v->name[0])
            buf_fmt(b, "%s%%%d", k ? ", " : "", n->in[k]);
        else
            buf_fmt(b, "%s%s", k ? ", " : "", v->name);
    }
    buf_str(b, ")");
    attr_dump(n->op->attrs, n->attr, b);
    buf_fmt(b, " %s", shape_text(&first->shape, text));
    if (first->dtype == DT_U8 || first->dtype == DT_S8)
        buf_fmt(b, " %s", dtype_name(first->dtype));
    if (first->layout_name)
        buf_fmt(b, " %s", first->layout_name);
    buf_fmt(b, "%s%s", n->name[0] ? " " : "", n->name);
    for (int k = 0; k < n->n_out; k++)
        if (g->values.at[n->out[k]].output)
            buf_fmt(b, " -> %s", g->values.at[n->out[k]].name);
}

char *graph_dump(const struct graph *g)
{
    struct buf b = buf_new(0);

    for (size_t i = 0; i < g->nodes.n; i++)
        if (g->nodes.at[i].op) {
            graph_dump_node(g, &g->nodes.at[i], &b);
            buf_str(&b, "\n");
        }
    for (size_t i = 0; i < g->sinks.n; i++)
        buf_fmt(&b, "%%%d -> gradient of %s\n", g->sinks.at[i].value,
                g->values.at[g->sinks.at[i].like].name);
    return buf_take(&b);
}
