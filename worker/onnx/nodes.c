#include "worker/onnx/nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "worker/engine/ops/ops.h"

enum {
    MAX_ATTRS = 4
};

/* A node under way. */
struct writer {
    Onnx__Graph *to;
    const struct graph *g;
    const struct node *n;
};

/* "t12" where the graph has no name. */
static char *name_of(const struct graph *g, value_id v)
{
    return g->values.at[v].name[0] ? str_dup(g->values.at[v].name) : str_fmt("t%d", (int)v);
}

static char *output_part(const struct writer *w, const char *part)
{
    char *output = name_of(w->g, w->n->out[0]), *name = str_fmt("%s/%s", output, part);

    free(output);
    return name;
}

static Onnx__Attribute *new_attribute(const char *name, Onnx__Attribute__Type type)
{
    Onnx__Attribute *a = NEW(Onnx__Attribute);

    onnx__attribute__init(a);
    a->name = str_dup(name);
    a->has_type = true;
    a->type = type;
    return a;
}

static void add_int(Onnx__Node *node, const char *name, int64_t value)
{
    Onnx__Attribute *a = new_attribute(name, ONNX__ATTRIBUTE__TYPE__INT);

    a->has_i = true;
    a->i = value;
    APPEND(node, attribute, a);
}

static void add_ints(Onnx__Node *node, const char *name, const int64_t *values, int n)
{
    Onnx__Attribute *a = new_attribute(name, ONNX__ATTRIBUTE__TYPE__INTS);

    for (int i = 0; i < n; i++)
        APPEND(a, ints, values[i]);
    APPEND(node, attribute, a);
}

static void add_float(Onnx__Node *node, const char *name, double value)
{
    Onnx__Attribute *a = new_attribute(name, ONNX__ATTRIBUTE__TYPE__FLOAT);

    a->has_f = true;
    a->f = (float)value;
    APPEND(node, attribute, a);
}

static void add_attribute(Onnx__Node *node, const struct attr_spec *spec, const void *attr)
{
    const void *at = (const char *)attr + spec->offset;

    if (spec->kind == ATTR_FLOAT)
        add_float(node, spec->name, *(const double *)at);
    else if (spec->kind == ATTR_INT)
        add_int(node, spec->name, *(const int64_t *)at);
    else
        add_ints(node, spec->name, at, spec->count);
}

Onnx__Tensor *onnx_make_tensor(char *take_name, Onnx__ElementType type, const int64_t *dims,
                               size_t rank, const void *data, size_t bytes)
{
    Onnx__Tensor *t = NEW(Onnx__Tensor);

    onnx__tensor__init(t);
    t->name = take_name;
    t->has_data_type = t->has_raw_data = true;
    t->data_type = type;
    for (size_t i = 0; i < rank; i++)
        APPEND(t, dims, dims[i]);
    t->raw_data.len = bytes;
    t->raw_data.data = mem_calloc(bytes, 1);
    memcpy(t->raw_data.data, data, bytes);
    return t;
}

/* Inputs that are attributes here and initializers there. */
static void input_ints(const struct writer *w, Onnx__Node *node, const char *what,
                       const int64_t *values, int n)
{
    int64_t dims[] = {n};

    APPEND(node, input, output_part(w, what));
    APPEND(w->to, initializer,
           onnx_make_tensor(output_part(w, what), ONNX__ELEMENT_TYPE__INT64, dims, 1, values,
                            (size_t)n * sizeof(*values)));
}

static void input_scalar(const struct writer *w, Onnx__Node *node, const char *what, double value)
{
    float narrow = (float)value;

    APPEND(node, input, output_part(w, what));
    APPEND(w->to, initializer,
           onnx_make_tensor(output_part(w, what), ONNX__ELEMENT_TYPE__FLOAT32, NULL, 0, &narrow,
                            sizeof(narrow)));
}

static const struct shape *in_shape(const struct writer *w)
{
    return graph_shape(w->g, w->n->in[0]);
}

static const struct shape *out_shape(const struct writer *w)
{
    return graph_shape(w->g, w->n->out[0]);
}

static void clip(const struct writer *w, Onnx__Node *node)
{
    const struct clip_attr *a = w->n->attr;

    input_scalar(w, node, "min", a->min);
    input_scalar(w, node, "max", a->max);
}

static void slice(const struct writer *w, Onnx__Node *node)
{
    const struct slice_attr *a = w->n->attr;

    input_ints(w, node, "starts", &a->start, 1);
    input_ints(w, node, "ends", &a->end, 1);
    input_ints(w, node, "axes", &a->axis, 1);
}

/* Zeros are what it pads with unless told otherwise. */
static void pad(const struct writer *w, Onnx__Node *node)
{
    const struct pad_attr *a = w->n->attr;
    int rank = in_shape(w)->rank;
    int64_t pads[2 * SHAPE_MAX] = {0};

    pads[a->axis] = a->before;
    pads[rank + a->axis] = a->after;
    input_ints(w, node, "pads", pads, 2 * rank);
}

static void transpose(const struct writer *w, Onnx__Node *node)
{
    add_ints(node, "perm", ((const struct transpose_attr *)w->n->attr)->perm, in_shape(w)->rank);
}

/* The batch has any size: 0 takes it over, -1 is what is left. */
static void new_shape(const struct writer *w, Onnx__Node *node, const char *what,
                      const struct shape *s)
{
    int64_t dims[SHAPE_MAX];

    for (int i = 0; i < s->rank; i++)
        dims[i] = s->dim[i];
    if (s->rank)
        dims[0] = in_shape(w)->rank && in_shape(w)->dim[0] == s->dim[0] ? 0 : -1;
    input_ints(w, node, what, dims, s->rank);
}

static void view(const struct writer *w, Onnx__Node *node)
{
    new_shape(w, node, "shape", out_shape(w));
}

/* A dimension of 1 leaves that of the input as it is. */
static void broadcast(const struct writer *w, Onnx__Node *node)
{
    int64_t dims[SHAPE_MAX];

    for (int i = 0; i < out_shape(w)->rank; i++)
        dims[i] = out_shape(w)->dim[i] == in_shape(w)->dim[i] ? 1 : out_shape(w)->dim[i];
    input_ints(w, node, "shape", dims, out_shape(w)->rank);
}

static void sum_to(const struct writer *w, Onnx__Node *node)
{
    int64_t axes[SHAPE_MAX];
    int n = 0;

    for (int i = 0; i < out_shape(w)->rank; i++)
        if (out_shape(w)->dim[i] != in_shape(w)->dim[i])
            axes[n++] = i;
    input_ints(w, node, "axes", axes, n);
    add_int(node, "keepdims", 1);
}

static void reduce_sum(const struct writer *w, Onnx__Node *node)
{
    input_ints(w, node, "axes", &((const struct axis_attr *)w->n->attr)->axis, 1);
    add_int(node, "keepdims", 0);
}

static void shuffle_apart(const struct writer *w, Onnx__Node *node)
{
    int64_t group = ((const struct shuffle_attr *)w->n->attr)->group;
    const struct shape *x = in_shape(w);
    const struct shape s = {5, {x->dim[0], group, x->dim[1] / group, x->dim[2], x->dim[3]}};

    new_shape(w, node, "groups", &s);
}

static void shuffle_swap(const struct writer *w, Onnx__Node *node)
{
    (void)w;
    add_ints(node, "perm", (const int64_t[]){0, 2, 1, 3, 4}, 5);
}

static void affine_factor(const struct writer *w, Onnx__Node *node)
{
    input_scalar(w, node, "alpha", ((const struct affine_attr *)w->n->attr)->alpha);
}

static void affine_term(const struct writer *w, Onnx__Node *node)
{
    input_scalar(w, node, "beta", ((const struct affine_attr *)w->n->attr)->beta);
}

/* What an operator is called in ONNX, with those of its attributes that ONNX knows by the same name, and
 * what else the node needs. Rows of one operator are nodes of which each reads what the one before made. */
static const struct form {
    const struct op_def *op;
    const char *name;
    const char *attrs[MAX_ATTRS];
    void (*more)(const struct writer *w, Onnx__Node *node);
} forms[] = {
    {&op_conv, "Conv", {"strides", "pads", "group"}, NULL},
    {&op_batch_norm, "BatchNormalization", {"epsilon"}, NULL},
    {&op_gemm, "Gemm", {"transA", "transB"}, NULL},
    {&op_global_average_pool, "GlobalAveragePool", {NULL}, NULL},
    {&op_max_pool, "MaxPool", {"kernel_shape", "strides", "pads"}, NULL},
    {&op_average_pool,
     "AveragePool",
     {"kernel_shape", "strides", "pads", "count_include_pad"},
     NULL},
    {&op_flatten, "Flatten", {NULL}, NULL},
    {&op_view, "Reshape", {NULL}, view},
    {&op_transpose, "Transpose", {NULL}, transpose},
    {&op_concat, "Concat", {"axis"}, NULL},
    {&op_slice, "Slice", {NULL}, slice},
    {&op_pad_axis, "Pad", {NULL}, pad},
    {&op_broadcast, "Expand", {NULL}, broadcast},
    {&op_sum_to, "ReduceSum", {NULL}, sum_to},
    {&op_reduce_sum, "ReduceSum", {NULL}, reduce_sum},
    {&op_log_softmax, "LogSoftmax", {NULL}, NULL},
    {&op_channel_shuffle, "Reshape", {NULL}, shuffle_apart},
    {&op_channel_shuffle, "Transpose", {NULL}, shuffle_swap},
    {&op_channel_shuffle, "Reshape", {NULL}, view},
    {&op_relu, "Relu", {NULL}, NULL},
    {&op_clip, "Clip", {NULL}, clip},
    {&op_sigmoid, "Sigmoid", {NULL}, NULL},
    {&op_exp, "Exp", {NULL}, NULL},
    {&op_log, "Log", {NULL}, NULL},
    {&op_sqrt, "Sqrt", {NULL}, NULL},
    {&op_add, "Add", {NULL}, NULL},
    {&op_sub, "Sub", {NULL}, NULL},
    {&op_mul, "Mul", {NULL}, NULL},
    {&op_div, "Div", {NULL}, NULL},
    {&op_max, "Max", {NULL}, NULL},
    {&op_affine, "Mul", {NULL}, affine_factor},
    {&op_affine, "Add", {NULL}, affine_term},
};

static void add_attributes(const struct writer *w, Onnx__Node *node, const struct form *form)
{
    for (const struct attr_spec *spec = form->op->attrs; spec && spec->name; spec++)
        for (int i = 0; i < MAX_ATTRS && form->attrs[i]; i++)
            if (strcmp(spec->name, form->attrs[i]) == 0)
                add_attribute(node, spec, w->n->attr);
}

/* The k-th of an operator's nodes; `last` makes the graph's value, others one for the next. */
static void write_form(const struct writer *w, const struct form *form, int k, bool last)
{
    const struct node *n = w->n;
    Onnx__Node *node = NEW(Onnx__Node);
    char part[16];

    onnx__node__init(node);
    node->op_type = str_dup(form->name);
    node->name = n->name[0] && k == 0 ? str_dup(n->name)
                 : n->name[0]         ? str_fmt("%s/%d", n->name, k)
                                      : str_fmt("%s_%zu", form->name, w->to->n_node);
    snprintf(part, sizeof(part), "%d", k - 1);
    if (k > 0)
        APPEND(node, input, output_part(w, part));
    for (int i = 0; k == 0 && i < n->n_in; i++)
        APPEND(node, input, name_of(w->g, n->in[i]));
    snprintf(part, sizeof(part), "%d", k);
    if (!last)
        APPEND(node, output, output_part(w, part));
    for (int i = 0; last && i < n->n_out; i++)
        APPEND(node, output, name_of(w->g, n->out[i]));
    add_attributes(w, node, form);
    if (form->more)
        form->more(w, node);
    APPEND(w->to, node, node);
}

bool onnx_write_node(Onnx__Graph *to, const struct graph *g, const struct node *n,
                     struct error *err)
{
    const struct writer w = {to, g, n};
    int k = 0;

    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (forms[i].op == n->op) {
            bool last = i + 1 == ARRAY_LEN(forms) || forms[i + 1].op != n->op;

            write_form(&w, &forms[i], k++, last);
        }
    return k || err_set(err, ERR_UNSUPPORTED, "node %s: operator %s cannot be written as ONNX",
                        n->name, n->op->name);
}
