/* A frozen net in bytes: every convolution with constant weights reads bytes, and writes bytes where only such
 * convolutions read them, so that nothing but bytes is in memory between them. Where reals end and where they begin
 * again there is a node for it. The first layer, whose channels are few, and what comes behind the last convolution stay
 * as they are.
 *
 * Weights have a step for each output channel, other values one for all: what no value is negative of is 0 to 255 steps,
 * other values are -127 to 127. Steps come from ranges, the greatest magnitudes of values; which values those are, and
 * their numbers, is found by the same walk whether they are being observed or used. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/engine/ops/ops.h"
#include "worker/engine/passes/pass.h"

enum {
    FEWEST_CHANNELS = 8, /* of an input worth it */
    NOT_READ = -1
};

struct quantising {
    struct graph *g;
    const float *ranges; /* NULL: all are 1 */
    int n_ranges;
    size_t n;           /* values before */
    int *number;        /* of the range of each value; NOT_READ: no convolution of bytes reads it */
    bool *is_positive;  /* of those with a number: never negative */
    bool *is_bytes;     /* a convolution makes it so */
    value_id *in_bytes; /* the same value in the other form, once it is made; else NO_VALUE */
    value_id *in_reals;
};

static bool is_const(const struct graph *g, value_id v)
{
    return g->values.at[v].kind == VALUE_CONST;
}

/* A convolution that is to be one of bytes. Inputs 0 and 3 are images. */
static bool is_wanted(const struct graph *g, const struct node *n)
{
    if ((n->op != &op_conv && n->op != &op_fused_conv) || !is_const(g, n->in[1]) ||
        (n->n_in > 2 && !is_const(g, n->in[2])))
        return false;
    return ((const struct conv_attr *)n->attr)->group == 1 &&
           graph_shape(g, n->in[0])->dim[1] >= FEWEST_CHANNELS;
}

static bool reads_bytes(const struct graph *g, const struct node *n, int k)
{
    return (k == 0 || k == 3) && is_wanted(g, n);
}

static void number_ranges(struct quantising *q)
{
    const struct graph *g = q->g;

    for (size_t v = 0; v < q->n; v++)
        q->number[v] = NOT_READ;
    for (size_t i = 0; i < g->nodes.n; i++) {
        const struct node *n = &g->nodes.at[i];

        for (int k = 0; n->op && k < n->n_in; k++)
            if (reads_bytes(g, n, k) && q->number[n->in[k]] == NOT_READ)
                q->number[n->in[k]] = q->n_ranges++;
    }
}

static bool never_negative(const struct graph *g, value_id v)
{
    static const struct op_def *const keep[] = {
        &op_max_pool, &op_average_pool, &op_adaptive_average_pool, &op_global_average_pool,
        &op_concat,   &op_slice,        &op_channel_shuffle,       &op_transpose};
    const struct value *value = &g->values.at[v];
    const struct node *n = value->kind == VALUE_TEMP ? &g->nodes.at[value->producer] : NULL;
    bool all = false;

    if (!n || n->op == &op_relu)
        return n;
    if (n->op == &op_conv || n->op == &op_fused_conv)
        return ((const struct conv_attr *)n->attr)->relu;
    if (n->op == &op_clip)
        return ((const struct clip_attr *)n->attr)->min >= 0;
    for (size_t i = 0; i < ARRAY_LEN(keep); i++)
        all |= n->op == keep[i];
    for (int k = 0; all && k < n->n_in; k++)
        all = never_negative(g, n->in[k]);
    return all;
}

static void find_bytes(struct quantising *q)
{
    const struct graph *g = q->g;

    for (size_t v = 0; v < q->n; v++)
        q->is_positive[v] = q->number[v] != NOT_READ && never_negative(g, (value_id)v);
    for (size_t i = 0; i < g->nodes.n; i++) {
        const struct node *n = &g->nodes.at[i];

        if (n->op && is_wanted(g, n))
            q->is_bytes[n->out[0]] =
                q->number[n->out[0]] != NOT_READ && !g->values.at[n->out[0]].output;
    }
    for (size_t i = 0; i < g->nodes.n; i++) {
        const struct node *n = &g->nodes.at[i];

        for (int k = 0; n->op && k < n->n_in; k++)
            if (!reads_bytes(g, n, k))
                q->is_bytes[n->in[k]] = false;
    }
}

static double step_of(const struct quantising *q, value_id v)
{
    double range = q->ranges ? (double)q->ranges[q->number[v]] : 1;

    return (range > 0 ? range : 1) / (q->is_positive[v] ? 255 : 127);
}

/* What in front of v a conversion can do by the way: a ReLU, since bytes without a sign end at 0, and a batch norm before
 * that. scale and shift have a number for each channel. */
static value_id read_through(const struct quantising *q, value_id v, double *scale, double *shift)
{
    const struct graph *g = q->g;
    const struct value *value = &g->values.at[v];
    const struct node *n = value->kind == VALUE_TEMP ? &g->nodes.at[value->producer] : NULL;
    const float *norm[4];

    if (!n || n->op != &op_relu)
        return v;
    value = &g->values.at[n->in[0]];
    v = n->in[0];
    n = value->kind == VALUE_TEMP ? &g->nodes.at[value->producer] : NULL;
    if (!n || n->op != &op_batch_norm)
        return v;
    for (int k = 0; k < 4; k++) {
        if (!is_const(g, n->in[1 + k]))
            return v;
        norm[k] = g->values.at[n->in[1 + k]].data; /* gamma, beta, mean, var */
    }
    for (int64_t c = 0; c < value->shape.dim[1]; c++) {
        scale[c] = (double)norm[0][c] /
                   sqrt((double)norm[3][c] + ((const struct norm_attr *)n->attr)->epsilon);
        shift[c] = (double)norm[1][c] - (double)norm[2][c] * scale[c];
    }
    return n->in[0];
}

static value_id vector(struct graph *g, const double *x, int64_t n, double factor)
{
    float *data = NEW_ARRAY(float, (size_t)n);

    for (int64_t i = 0; i < n; i++)
        data[i] = (float)(x[i] * factor);
    return graph_const(g, "", shape1(n), data);
}

static value_id to_bytes(struct quantising *q, value_id v)
{
    const struct quantise_attr attr = {.is_signed = !q->is_positive[v], .axis = 1};
    int64_t channels = graph_shape(q->g, v)->dim[1];
    double *scale, *shift;
    value_id in[3];

    if (q->is_bytes[v] || q->in_bytes[v] != NO_VALUE)
        return q->is_bytes[v] ? v : q->in_bytes[v];
    scale = NEW_ARRAY(double, (size_t)channels);
    shift = NEW_ARRAY(double, (size_t)channels);
    for (int64_t c = 0; c < channels; c++)
        scale[c] = 1;
    in[0] = read_through(q, v, scale, shift);
    in[1] = vector(q->g, scale, channels, 1 / step_of(q, v));
    in[2] = vector(q->g, shift, channels, 1 / step_of(q, v));
    free(scale);
    free(shift);
    return q->in_bytes[v] = graph_add(q->g, &op_quantise, "", in, 3, &attr);
}

static value_id to_reals(struct quantising *q, value_id v)
{
    const struct dequantise_attr attr = {.scale = q->is_bytes[v] ? step_of(q, v) : 1};

    if (!q->is_bytes[v])
        return v;
    if (q->in_reals[v] == NO_VALUE)
        q->in_reals[v] = graph_add(q->g, &op_dequantise, "", &v, 1, &attr);
    return q->in_reals[v];
}

/* The steps of the weights, one for each output channel; free(). */
static double *weight_steps(const struct graph *g, value_id w)
{
    const struct shape *s = graph_shape(g, w);
    const float *data = g->values.at[w].data;
    int64_t each = shape_span(s, 1, s->rank);
    double *steps = NEW_ARRAY(double, (size_t)s->dim[0]);

    for (int64_t o = 0; o < s->dim[0]; o++) {
        double most = 0;

        for (int64_t i = 0; i < each; i++)
            most = fmax(most, fabs((double)data[o * each + i]));
        steps[o] = (most > 0 ? most : 1) / 127;
    }
    return steps;
}

/* Weights in steps, what a product of them with a unit of x is worth in units of the output, and the bias in such
 * products: the inputs 1 to 3. */
static void put_constants(struct quantising *q, const struct node *n, double unit, value_id *in)
{
    static const struct quantise_attr by_output = {.is_signed = true, .axis = 0};
    struct graph *g = q->g;
    int64_t outputs = graph_shape(g, n->in[1])->dim[0];
    const float *bias = n->n_in > 2 ? g->values.at[n->in[2]].data : NULL;
    double *steps = weight_steps(g, n->in[1]), x_step = step_of(q, n->in[0]);
    double *inverse = NEW_ARRAY(double, (size_t)outputs),
           *zeros = NEW_ARRAY(double, (size_t)outputs);
    double *biases = NEW_ARRAY(double, (size_t)outputs);
    value_id w[3];

    for (int64_t o = 0; o < outputs; o++) {
        inverse[o] = 1 / steps[o];
        biases[o] = bias ? (double)bias[o] / (x_step * steps[o]) : 0;
    }
    w[0] = n->in[1];
    w[1] = vector(g, inverse, outputs, 1);
    w[2] = vector(g, zeros, outputs, 1);
    in[1] = graph_add(g, &op_quantise, "", w, 3, &by_output);
    in[2] = vector(g, steps, outputs, x_step / unit);
    in[3] = vector(g, biases, outputs, 1);
    free(biases);
    free(zeros);
    free(inverse);
    free(steps);
}

static void put_conv(struct quantising *q, struct node n)
{
    struct graph *g = q->g;
    bool bytes = q->is_bytes[n.out[0]];
    double unit = bytes ? step_of(q, n.out[0]) : 1;
    struct quant_conv_attr attr = {.conv = *(const struct conv_attr *)n.attr,
                                   .residual = 1,
                                   .to = !bytes                     ? DT_REAL
                                         : q->is_positive[n.out[0]] ? DT_U8
                                                                    : DT_S8};
    value_id in[5];

    in[0] = to_bytes(q, n.in[0]);
    put_constants(q, &n, unit, in);
    if (n.n_in > 3) {
        in[4] = bytes ? to_bytes(q, n.in[3]) : to_reals(q, n.in[3]);
        attr.residual = bytes ? step_of(q, n.in[3]) / unit : 1;
    }
    graph_put_node(g, n);
    graph_replace_node(g, (node_id)g->nodes.n - 1, &op_quant_conv, in, n.n_in > 3 ? 5 : 4, &attr);
    g->values.at[n.out[0]].dtype = (enum dtype)attr.to;
}

static void rewrite(struct quantising *q)
{
    size_t n;
    struct node *old = graph_take_nodes(q->g, &n);

    for (size_t i = 0; i < n; i++)
        if (!old[i].op)
            graph_drop_node(&old[i]);
        else if (is_wanted(q->g, &old[i]))
            put_conv(q, old[i]);
        else
            graph_put_node(q->g, old[i]);
    free(old);
}

static void observe_value(const struct quantising *q, value_id v)
{
    char *name;

    if (q->number[v] == NOT_READ)
        return;
    name = str_fmt("range/%d", q->number[v]);
    graph_mark_output(q->g, graph_add(q->g, &op_abs_max, "", &v, 1, NULL), name);
    free(name);
}

/* Ranges of each sample, as outputs; each as soon as the value is there, which need not stay for that. */
static void observe(const struct quantising *q)
{
    size_t n;
    struct node *old = graph_take_nodes(q->g, &n);

    for (size_t v = 0; v < q->n; v++)
        if (q->g->values.at[v].kind != VALUE_TEMP)
            observe_value(q, (value_id)v);
    for (size_t i = 0; i < n; i++) {
        if (!old[i].op) {
            graph_drop_node(&old[i]);
            continue;
        }
        graph_put_node(q->g, old[i]);
        for (int k = 0; k < old[i].n_out; k++)
            observe_value(q, old[i].out[k]);
    }
    free(old);
}

static bool check_ranges(const struct quantising *q, const struct compile_options *o,
                         struct error *err)
{
    return !o->ranges || o->n_ranges == (size_t)q->n_ranges ||
           err_set(err, ERR_INVALID, "expected %d ranges, got %zu", q->n_ranges, o->n_ranges);
}

bool pass_quantise(struct compiler *c, struct error *err)
{
    struct quantising q = {.g = c->g, .ranges = c->options->ranges, .n = c->g->values.n};
    bool ok;

    if (c->options->precision == PRECISION_FLOAT32)
        return true;
    q.number = NEW_ARRAY(int, q.n);
    q.is_positive = NEW_ARRAY(bool, q.n);
    q.is_bytes = NEW_ARRAY(bool, q.n);
    q.in_bytes = NEW_ARRAY(value_id, q.n);
    q.in_reals = NEW_ARRAY(value_id, q.n);
    for (size_t v = 0; v < q.n; v++)
        q.in_bytes[v] = q.in_reals[v] = NO_VALUE;
    number_ranges(&q);
    find_bytes(&q);
    ok = check_ranges(&q, c->options, err);
    if (ok && c->options->precision == PRECISION_OBSERVED)
        observe(&q);
    else if (ok)
        rewrite(&q);
    free(q.number);
    free(q.is_positive);
    free(q.is_bytes);
    free(q.in_bytes);
    free(q.in_reals);
    return ok && graph_ok(c->g, err) && pass_prune(c, err);
}
