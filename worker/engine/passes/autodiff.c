/* Reverse mode, as a rewrite: every operator's grad appends ordinary nodes. Saved activations need no
 * mechanism: a gradient node reads x or y like any other input. */
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/engine/ops/ops.h"
#include "worker/engine/passes/pass.h"

struct autodiff {
    struct graph *g;
    bool *active;         /* values that depend on something wanted */
    VEC(value_id) *parts; /* gradient contributions of each value, last consumer first */
    size_t n;             /* values of the forward graph */
};

static void mark_active(struct autodiff *a)
{
    const struct graph *g = a->g;

    for (size_t i = 0; i < g->wants.n; i++)
        a->active[g->wants.at[i].wrt] = true;
    for (size_t i = 0; i < g->nodes.n; i++) {
        const struct node *n = &g->nodes.at[i];
        bool any = false;

        for (int k = 0; n->op && k < n->n_in; k++)
            any |= a->active[n->in[k]];
        for (int k = 0; k < n->n_out; k++)
            a->active[n->out[k]] |= any;
    }
}

/* The gradient of v: its contributions summed, the first consumer's first. */
static value_id gradient_of(struct autodiff *a, value_id v)
{
    value_id sum = NO_VALUE;

    for (size_t i = a->parts[v].n; i-- > 0;)
        sum = sum == NO_VALUE ? a->parts[v].at[i] : g_add(a->g, sum, a->parts[v].at[i]);
    a->parts[v].n = 0;
    if (sum != NO_VALUE)
        vec_push(&a->parts[v], sum);
    return sum;
}

static void differentiate(struct autodiff *a, node_id id)
{
    const struct node n = a->g->nodes.at[id]; /* a copy: the array grows below */
    value_id dout[NODE_MAX_OUT], din[NODE_MAX_IN];
    bool need[NODE_MAX_IN] = {false}, any_out = false, any_in = false;
    size_t appended;

    for (int k = 0; k < n.n_out; k++) {
        dout[k] = gradient_of(a, n.out[k]);
        any_out |= dout[k] != NO_VALUE;
    }
    for (int k = 0; k < n.n_in; k++) {
        din[k] = NO_VALUE;
        need[k] = a->active[n.in[k]];
        any_in |= need[k];
    }
    if (!any_out || !any_in)
        return;
    if (!n.op->grad) {
        graph_fail(a->g, ERR_UNSUPPORTED, "%s %s has no gradient", n.op->name, n.name);
        return;
    }
    appended = a->g->nodes.n;
    n.op->grad(a->g, &n, dout, need, din);
    graph_name_layer(a->g, appended, n.name);
    for (int k = 0; k < n.n_in; k++)
        if (need[k] && din[k] != NO_VALUE)
            vec_push(&a->parts[n.in[k]], din[k]);
}

static void deliver(struct autodiff *a)
{
    for (size_t i = 0; i < a->g->wants.n; i++) {
        value_id wrt = a->g->wants.at[i].wrt, grad = gradient_of(a, wrt);
        char *name;

        if (grad == NO_VALUE)
            continue; /* nothing depends on it: its slot stays zero */
        if (a->g->values.at[wrt].kind == VALUE_PARAM) {
            graph_sink(a->g, grad, wrt);
            continue;
        }
        name = str_fmt("grad/%s", a->g->values.at[wrt].name);
        graph_mark_output(a->g, grad, name);
        free(name);
    }
}

bool pass_autodiff(struct compiler *c, struct error *err)
{
    struct graph *g = c->g;
    struct autodiff a = {.g = g, .n = g->values.n};

    if (!g->wants.n)
        return true;
    a.active = NEW_ARRAY(bool, a.n);
    a.parts = mem_calloc(a.n, sizeof(*a.parts));
    mark_active(&a);
    for (size_t i = 0; i < g->seeds.n; i++)
        vec_push(&a.parts[g->seeds.at[i].value], g->seeds.at[i].seed);
    for (size_t i = g->nodes.n; i-- > 0 && g->err.code == ERR_NONE;)
        if (g->nodes.at[i].op)
            differentiate(&a, (node_id)i);
    deliver(&a);
    for (size_t i = 0; i < a.n; i++)
        vec_free(&a.parts[i]);
    free(a.parts);
    free(a.active);
    return graph_ok(g, err);
}
