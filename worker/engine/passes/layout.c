/* Asks the back end in which layout each node wants its inputs, and inserts a Reorder wherever a value
 * is not there in that layout. Outputs and sinks end in plain layout. */
#include <stdlib.h>

#include "proto/base/mem.h"
#include "worker/engine/ops/ops.h"
#include "worker/engine/passes/pass.h"

struct reordered {
    value_id from, to; /* `to` is `from` in another layout */
};

struct relayout {
    struct graph *g;
    struct backend *backend;
    VEC(struct reordered) made;
};

static void set_layout(struct relayout *r, value_id v, int layout)
{
    struct value *value = &r->g->values.at[v];

    value->layout = layout;
    value->layout_name =
        layout == LAYOUT_PLAIN ? NULL : r->backend->def->layout_name(r->backend, layout);
}

/* v in this layout; made on first use. */
static value_id in_layout(struct relayout *r, value_id v, int layout)
{
    value_id made;

    if (r->g->values.at[v].layout == layout)
        return v;
    for (size_t i = 0; i < r->made.n; i++)
        if (r->made.at[i].from == v && r->g->values.at[r->made.at[i].to].layout == layout)
            return r->made.at[i].to;
    made = graph_add(r->g, &op_reorder, "", &v, 1, NULL);
    set_layout(r, made, layout);
    r->g->values.at[made].dtype = r->g->values.at[v].dtype;
    vec_push(&r->made, (struct reordered){v, made});
    return made;
}

/* Outputs and sinks that were made in a blocked layout get a plain copy. */
static void export_plain(struct relayout *r, value_id v)
{
    struct graph *g = r->g;
    value_id plain;

    if (g->values.at[v].layout == LAYOUT_PLAIN)
        return;
    for (size_t i = 0; i < g->sinks.n; i++)
        if (g->sinks.at[i].value == v)
            g->sinks.at[i].value = in_layout(r, v, LAYOUT_PLAIN);
    if (g->values.at[v].output) {
        char *name = g->values.at[v].name;

        plain = in_layout(r, v, LAYOUT_PLAIN);
        g->values.at[v].name = g->values.at[plain].name;
        g->values.at[v].output = false;
        g->values.at[plain].name = name;
        g->values.at[plain].output = true;
    }
}

static bool lay_out(struct relayout *r, struct node n, struct error *err)
{
    int in[NODE_MAX_IN] = {0}, out[NODE_MAX_OUT] = {0};

    if (!r->backend->def->layouts(r->backend, r->g, &n, in, out, err))
        return err_wrap(err, "%s %s", n.op->name, n.name);
    for (int k = 0; k < n.n_in; k++)
        graph_reread(r->g, &n, k, in_layout(r, n.in[k], in[k]));
    graph_put_node(r->g, n);
    for (int k = 0; k < n.n_out; k++)
        set_layout(r, n.out[k], out[k]);
    for (int k = 0; k < n.n_out; k++)
        export_plain(r, n.out[k]);
    return true;
}

bool pass_layout(struct compiler *c, struct error *err)
{
    struct relayout r = {.g = c->g, .backend = c->options->backend};
    size_t n;
    struct node *old = graph_take_nodes(c->g, &n);
    bool ok = true;

    for (size_t i = 0; i < n; i++) {
        if (old[i].op && ok) {
            ok = lay_out(&r, old[i], err);
            if (ok)
                continue;
        }
        graph_drop_node(&old[i]);
    }
    free(old);
    vec_free(&r.made);
    return ok && graph_ok(c->g, err);
}
