#include <stdlib.h>

#include "proto/base/mem.h"
#include "worker/engine/passes/pass.h"

bool pass_prune(struct compiler *c, struct error *err)
{
    struct graph *g = c->g;
    bool *needed = NEW_ARRAY(bool, g->values.n);

    (void)err;
    for (size_t i = 0; i < g->values.n; i++)
        needed[i] = g->values.at[i].output;
    for (size_t i = 0; i < g->sinks.n; i++)
        needed[g->sinks.at[i].value] = true;
    for (size_t i = g->nodes.n; i-- > 0;) {
        const struct node *n = &g->nodes.at[i];
        bool keep = false;

        for (int k = 0; n->op && k < n->n_out; k++)
            keep |= needed[n->out[k]];
        if (!keep)
            graph_remove_node(g, (node_id)i);
        for (int k = 0; keep && k < n->n_in; k++)
            needed[n->in[k]] = true;
    }
    free(needed);
    return true;
}
