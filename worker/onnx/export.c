#include "worker/onnx/export.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/wire/onnx.pb-c.h"
#include "worker/engine/ops/ops.h"

enum {
    IR_VERSION = 8, /* the first one for operator set 17 */
    OPERATOR_SET = 17,
    MAX_ATTRS = 4
};

/* Operators under their ONNX names, with those of their attributes that ONNX knows. */
static const struct form {
    const struct op_def *op;
    const char *attrs[MAX_ATTRS];
} forms[] = {
    {&op_conv, {"strides", "pads", "group"}},
    {&op_batch_norm, {"epsilon"}},
    {&op_gemm, {"transA", "transB"}},
    {&op_global_average_pool, {NULL}},
    {&op_flatten, {NULL}},
    {&op_relu, {NULL}},
    {&op_add, {NULL}},
};

static const struct form *form_of(const struct op_def *op)
{
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (forms[i].op == op)
            return &forms[i];
    return NULL;
}

/* Messages are built of single allocations, as if they had been unpacked, so that one call releases a
 * whole model. */
#define APPEND(message, member, item)                                                              \
    do {                                                                                           \
        (message)->member =                                                                        \
            mem_realloc((message)->member, (message)->n_##member + 1, sizeof(*(message)->member)); \
        (message)->member[(message)->n_##member++] = (item);                                       \
    } while (0)

/* "t12" where the graph has no name. */
static char *name_of(const struct graph *g, value_id v)
{
    return g->values.at[v].name[0] ? str_dup(g->values.at[v].name) : str_fmt("t%d", (int)v);
}

static Onnx__Attribute *make_attribute(const struct attr_spec *spec, const void *attr)
{
    const void *at = (const char *)attr + spec->offset;
    Onnx__Attribute *a = NEW(Onnx__Attribute);

    onnx__attribute__init(a);
    a->name = str_dup(spec->name);
    a->has_type = true;
    if (spec->kind == ATTR_FLOAT) {
        a->type = ONNX__ATTRIBUTE__TYPE__FLOAT;
        a->has_f = true;
        a->f = (float)*(const double *)at;
    } else if (spec->kind == ATTR_INT) {
        a->type = ONNX__ATTRIBUTE__TYPE__INT;
        a->has_i = true;
        a->i = *(const int64_t *)at;
    } else {
        a->type = ONNX__ATTRIBUTE__TYPE__INTS;
        for (int k = 0; k < spec->count; k++)
            APPEND(a, ints, ((const int64_t *)at)[k]);
    }
    return a;
}

static void add_attributes(Onnx__Node *node, const struct form *form, const void *attr)
{
    for (const struct attr_spec *spec = form->op->attrs; spec && spec->name; spec++)
        for (int i = 0; i < MAX_ATTRS && form->attrs[i]; i++)
            if (strcmp(spec->name, form->attrs[i]) == 0)
                APPEND(node, attribute, make_attribute(spec, attr));
}

static bool add_node(Onnx__Graph *to, const struct graph *g, const struct node *n,
                     struct error *err)
{
    const struct form *form = form_of(n->op);
    Onnx__Node *node;

    if (!form)
        return err_set(err, ERR_UNSUPPORTED, "node %s: operator %s cannot be written as ONNX",
                       n->name, n->op->name);
    node = NEW(Onnx__Node);
    onnx__node__init(node);
    node->op_type = str_dup(n->op->name);
    node->name = n->name[0] ? str_dup(n->name) : str_fmt("%s_%zu", n->op->name, to->n_node);
    for (int i = 0; i < n->n_in; i++)
        APPEND(node, input, name_of(g, n->in[i]));
    for (int k = 0; k < n->n_out; k++)
        APPEND(node, output, name_of(g, n->out[k]));
    add_attributes(node, form, n->attr);
    APPEND(to, node, node);
    return true;
}

static Onnx__Tensor *make_tensor(const struct value *v)
{
    Onnx__Tensor *t = NEW(Onnx__Tensor);
    size_t bytes = (size_t)shape_count(&v->shape) * sizeof(float);

    onnx__tensor__init(t);
    t->name = str_dup(v->name);
    t->has_data_type = t->has_raw_data = true;
    t->data_type = ONNX__ELEMENT_TYPE__FLOAT32;
    for (int i = 0; i < v->shape.rank; i++)
        APPEND(t, dims, v->shape.dim[i]);
    t->raw_data.len = bytes;
    t->raw_data.data = mem_calloc(bytes, 1);
    memcpy(t->raw_data.data, v->data, bytes);
    return t;
}

static Onnx__Dimension *make_dimension(const struct shape *s, int i)
{
    Onnx__Dimension *d = NEW(Onnx__Dimension);

    onnx__dimension__init(d);
    if (i == 0) {
        d->kind_case = ONNX__DIMENSION__KIND_DIM_PARAM;
        d->dim_param = str_dup("batch");
    } else {
        d->kind_case = ONNX__DIMENSION__KIND_DIM_VALUE;
        d->dim_value = s->dim[i];
    }
    return d;
}

static Onnx__ValueInfo *make_info(const struct value *v)
{
    Onnx__ValueInfo *info = NEW(Onnx__ValueInfo);
    Onnx__TensorType *tensor = NEW(Onnx__TensorType);

    onnx__value_info__init(info);
    info->name = str_dup(v->name);
    info->type = NEW(Onnx__Type);
    onnx__type__init(info->type);
    info->type->tensor_type = tensor;
    onnx__tensor_type__init(tensor);
    tensor->has_elem_type = true;
    tensor->elem_type = ONNX__ELEMENT_TYPE__FLOAT32;
    tensor->shape = NEW(Onnx__Shape);
    onnx__shape__init(tensor->shape);
    for (int i = 0; i < v->shape.rank; i++)
        APPEND(tensor->shape, dim, make_dimension(&v->shape, i));
    return info;
}

static void add_values(Onnx__Graph *to, const struct graph *g, const char *const *outputs)
{
    for (size_t i = 0; i < g->values.n; i++) {
        const struct value *v = &g->values.at[i];

        ASSERT(v->kind != VALUE_PARAM && v->kind != VALUE_BUFFER);
        if (v->kind == VALUE_INPUT)
            APPEND(to, input, make_info(v));
        else if (v->kind == VALUE_CONST && graph_uses(g, (value_id)i))
            APPEND(to, initializer, make_tensor(v));
    }
    for (; *outputs; outputs++) {
        value_id v = graph_find(g, *outputs);

        ASSERT(v != NO_VALUE);
        APPEND(to, output, make_info(&g->values.at[v]));
    }
}

static void add_properties(Onnx__Model *to, const struct onnx_labels *labels)
{
    for (size_t i = 0; i < labels->n_properties; i++) {
        Onnx__Property *p = NEW(Onnx__Property);

        onnx__property__init(p);
        p->key = str_dup(labels->properties[i].key);
        p->value = str_dup(labels->properties[i].value);
        APPEND(to, metadata_props, p);
    }
}

static Onnx__Model *make_model(const struct onnx_labels *labels)
{
    Onnx__Model *m = NEW(Onnx__Model);
    Onnx__OperatorSet *set = NEW(Onnx__OperatorSet);

    onnx__model__init(m);
    m->has_ir_version = true;
    m->ir_version = IR_VERSION;
    m->producer_name = str_dup("distilld");
    m->producer_version = str_dup(PACKAGE_VERSION);
    onnx__operator_set__init(set);
    set->domain = str_dup("");
    set->has_version = true;
    set->version = OPERATOR_SET;
    APPEND(m, opset_import, set);
    m->graph = NEW(Onnx__Graph);
    onnx__graph__init(m->graph);
    m->graph->name = str_dup(labels->graph_name);
    add_properties(m, labels);
    return m;
}

static void pack(const Onnx__Model *m, struct buf *out)
{
    size_t bytes = onnx__model__get_packed_size(m);
    uint8_t *data = mem_calloc(bytes, 1);

    onnx__model__pack(m, data);
    buf_add(out, data, bytes);
    free(data);
}

bool onnx_export(const struct graph *g, const struct onnx_labels *labels, struct buf *out,
                 struct error *err)
{
    Onnx__Model *m;
    bool ok = true;

    if (!graph_verify(g, err))
        return false;
    m = make_model(labels);
    add_values(m->graph, g, labels->outputs);
    for (size_t i = 0; ok && i < g->nodes.n; i++)
        ok = !g->nodes.at[i].op || add_node(m->graph, g, &g->nodes.at[i], err);
    if (ok)
        pack(m, out);
    onnx__model__free_unpacked(m, NULL);
    return ok;
}
