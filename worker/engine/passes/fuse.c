/* A convolution can add its bias, add a residual and clamp at zero while its result is in registers; so
 * can a batch norm in training, which then also rounds once only. On the way back the gradient of the batch
 * norm cuts off what the ReLU lets not pass when it first reads it, unless someone else wants that, too.
 *
 * Two parts of a value that go separate ways come back as two gradients, each padded with zeros to the whole
 * and added: that is one value beside the other. */
#include "worker/engine/ops/ops.h"
#include "worker/engine/passes/pass.h"

/* The (fused) convolution with bias that made v for this reader alone and is not clamped yet. */
static const struct node *open_conv(const struct graph *g, value_id v)
{
    const struct value *x = &g->values.at[v];
    const struct node *conv;

    if (x->kind != VALUE_TEMP || x->output || graph_uses(g, v) != 1)
        return NULL;
    conv = &g->nodes.at[x->producer];
    if (!conv->op || (conv->op != &op_conv && conv->op != &op_fused_conv) || conv->n_in < 3 ||
        ((const struct conv_attr *)conv->attr)->relu)
        return NULL;
    return conv;
}

static void absorb(struct graph *g, node_id at, value_id conv_out, value_id residual, bool relu)
{
    node_id conv_id = g->values.at[conv_out].producer;
    const struct node *conv = &g->nodes.at[conv_id];
    struct conv_attr attr = *(const struct conv_attr *)conv->attr;
    value_id in[4];
    int n_in = conv->n_in;

    for (int i = 0; i < n_in; i++)
        in[i] = conv->in[i];
    if (residual != NO_VALUE)
        in[n_in++] = residual;
    attr.relu = relu;
    graph_name_node(g, at, conv->name);
    graph_remove_node(g, conv_id);
    graph_replace_node(g, at, &op_fused_conv, in, n_in, &attr);
}

static bool fuse_add(struct graph *g, node_id id)
{
    const struct node *n = &g->nodes.at[id];

    for (int k = 0; k < 2; k++) {
        const struct node *conv = open_conv(g, n->in[k]);

        if (conv && conv->n_in == 3 && n->in[0] != n->in[1]) {
            absorb(g, id, n->in[k], n->in[1 - k], false);
            return true;
        }
    }
    return false;
}

/* The only node that reads v, or NO_NODE. */
static node_id only_reader(const struct graph *g, value_id v)
{
    if (g->values.at[v].output || graph_uses(g, v) != 1)
        return NO_NODE;
    for (size_t i = 0; i < g->nodes.n; i++)
        for (int k = 0; g->nodes.at[i].op && k < g->nodes.at[i].n_in; k++)
            if (g->nodes.at[i].in[k] == v)
                return (node_id)i;
    return NO_NODE;
}

static bool made_before(const struct graph *g, value_id v, node_id id)
{
    return g->values.at[v].kind != VALUE_TEMP || g->values.at[v].producer < id;
}

/* y = BatchNormTrain [+ residual that exists by then], and Relu. Gradients read the statistics and what
 * the Relu makes, which stay. */
static void fuse_batch_norm(struct graph *g, node_id id)
{
    struct node *n = &g->nodes.at[id];
    struct norm_attr attr = *(const struct norm_attr *)n->attr;
    value_id in[4] = {n->in[0], n->in[1], n->in[2], NO_VALUE};
    node_id add = NO_NODE, relu = only_reader(g, n->out[0]);

    if (relu != NO_NODE && g->nodes.at[relu].op == &op_add) {
        add = relu;
        in[3] = g->nodes.at[add].in[g->nodes.at[add].in[0] == n->out[0]];
        relu = made_before(g, in[3], id) ? only_reader(g, g->nodes.at[add].out[0]) : NO_NODE;
    }
    if (relu == NO_NODE || g->nodes.at[relu].op != &op_relu)
        return;
    attr.relu = true;
    n->out[0] = g->nodes.at[relu].out[0];
    g->values.at[n->out[0]].producer = id;
    if (add != NO_NODE)
        graph_remove_node(g, add);
    graph_remove_node(g, relu);
    graph_replace_node(g, id, &op_fused_batch_norm_train, in, add == NO_NODE ? 3 : 4, &attr);
}

/* The ReluGrad that made v for this reader alone. */
static const struct node *open_relu_grad(const struct graph *g, value_id v)
{
    const struct value *x = &g->values.at[v];

    if (x->kind != VALUE_TEMP || x->output || graph_uses(g, v) != 1 ||
        g->nodes.at[x->producer].op != &op_relu_grad)
        return NULL;
    return &g->nodes.at[x->producer];
}

static void fuse_batch_norm_grad(struct graph *g, node_id id)
{
    const struct node *n = &g->nodes.at[id], *relu = open_relu_grad(g, n->in[4]);
    struct norm_attr attr = *(const struct norm_attr *)n->attr;
    value_id in[6] = {n->in[0], n->in[1], n->in[2], n->in[3], NO_VALUE, NO_VALUE};

    if (!relu || n->n_in > 5)
        return;
    in[4] = relu->in[1];
    in[5] = relu->in[0];
    graph_remove_node(g, (node_id)(relu - g->nodes.at));
    graph_replace_node(g, id, &op_batch_norm_train_grad, in, 6, &attr);
}

/* The PadAxis that made v for this reader alone. */
static const struct node *open_pad(const struct graph *g, value_id v)
{
    const struct value *x = &g->values.at[v];

    if (x->kind != VALUE_TEMP || x->output || graph_uses(g, v) != 1 ||
        g->nodes.at[x->producer].op != &op_pad_axis)
        return NULL;
    return &g->nodes.at[x->producer];
}

/* `first` has zeros where `second` has values, behind its own, and nowhere else. */
static bool complete(const struct graph *g, const struct node *first, const struct node *second)
{
    const struct pad_attr *a = first->attr, *b = second->attr;

    return a->axis == b->axis && a->before == 0 && b->after == 0 &&
           b->before == graph_shape(g, first->in[0])->dim[a->axis];
}

static void fuse_parts(struct graph *g, node_id id)
{
    const struct node *n = &g->nodes.at[id];

    for (int k = 0; k < 2; k++) {
        const struct node *a = open_pad(g, n->in[k]), *b = open_pad(g, n->in[1 - k]);

        if (a && b && complete(g, a, b)) {
            const struct concat_attr attr = {.axis = ((const struct pad_attr *)a->attr)->axis};
            value_id in[] = {a->in[0], b->in[0]};

            graph_remove_node(g, (node_id)(a - g->nodes.at));
            graph_remove_node(g, (node_id)(b - g->nodes.at));
            graph_replace_node(g, id, &op_concat, in, 2, &attr);
            return;
        }
    }
}

bool pass_fuse(struct compiler *c, struct error *err)
{
    struct graph *g = c->g;

    (void)err;
    for (size_t i = 0; i < g->nodes.n; i++) {
        const struct node *n = &g->nodes.at[i];

        if (n->op == &op_batch_norm_train)
            fuse_batch_norm(g, (node_id)i);
        else if (n->op == &op_batch_norm_train_grad)
            fuse_batch_norm_grad(g, (node_id)i);
        else if (n->op == &op_add && !fuse_add(g, (node_id)i))
            fuse_parts(g, (node_id)i);
        else if (n->op == &op_relu && open_conv(g, n->in[0]))
            absorb(g, (node_id)i, n->in[0], NO_VALUE, true);
    }
    return true;
}
