/* y = gamma (conv(x) + b - mean) / sqrt(var + eps) + beta is a convolution with other weights. */
#include <math.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/engine/ops/ops.h"
#include "worker/engine/passes/pass.h"

static bool is_const(const struct graph *g, value_id v)
{
    return g->values.at[v].kind == VALUE_CONST;
}

/* The convolution that only this batch norm reads, with everything constant; NULL otherwise. */
static const struct node *foldable(const struct graph *g, const struct node *bn)
{
    const struct value *x = &g->values.at[bn->in[0]];
    const struct node *conv;

    if (bn->op != &op_batch_norm || x->kind != VALUE_TEMP || x->output)
        return NULL;
    conv = &g->nodes.at[x->producer];
    if (conv->op != &op_conv || graph_uses(g, bn->in[0]) != 1)
        return NULL;
    for (int i = 1; i < conv->n_in; i++)
        if (!is_const(g, conv->in[i]))
            return NULL;
    for (int i = 1; i < bn->n_in; i++)
        if (!is_const(g, bn->in[i]))
            return NULL;
    return conv;
}

static void fold(struct graph *g, node_id bn_id, const struct node *conv)
{
    const struct node *bn = &g->nodes.at[bn_id];
    const struct shape ws = *graph_shape(g, conv->in[1]);
    const float *w = g->values.at[conv->in[1]].data;
    const float *b = conv->n_in > 2 ? g->values.at[conv->in[2]].data : NULL;
    const float *gamma = g->values.at[bn->in[1]].data, *beta = g->values.at[bn->in[2]].data;
    const float *mean = g->values.at[bn->in[3]].data, *var = g->values.at[bn->in[4]].data;
    double eps = ((const struct norm_attr *)bn->attr)->epsilon;
    int64_t out = ws.dim[0], per = shape_count(&ws) / out;
    float *fw = NEW_ARRAY(float, (size_t)(out * per)), *fb = NEW_ARRAY(float, (size_t)out);
    struct conv_attr attr = *(const struct conv_attr *)conv->attr;
    value_id in[3] = {conv->in[0]};

    for (int64_t o = 0; o < out; o++) {
        double scale = (double)gamma[o] / sqrt((double)var[o] + eps);

        for (int64_t i = 0; i < per; i++)
            fw[o * per + i] = (float)((double)w[o * per + i] * scale);
        fb[o] = (float)((double)beta[o] + ((b ? (double)b[o] : 0) - (double)mean[o]) * scale);
    }
    graph_name_node(g, bn_id, conv->name);
    graph_remove_node(g, g->values.at[bn->in[0]].producer);
    in[1] = graph_const(g, "", ws, fw);
    in[2] = graph_const(g, "", shape1(out), fb);
    graph_replace_node(g, bn_id, &op_conv, in, 3, &attr);
}

bool pass_fold_bn(struct compiler *c, struct error *err)
{
    (void)err;
    for (size_t i = 0; i < c->g->nodes.n; i++) {
        const struct node *conv = c->g->nodes.at[i].op ? foldable(c->g, &c->g->nodes.at[i]) : NULL;

        if (conv)
            fold(c->g, (node_id)i, conv);
    }
    return true;
}
