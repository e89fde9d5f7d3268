#include "worker/onnx/export.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/onnx/nodes.h"

enum {
    IR_VERSION = 8, /* the first one for operator set 17 */
    OPERATOR_SET = 17
};

/* The values of a parameter. */
static Onnx__Tensor *make_tensor(const struct value *v)
{
    return onnx_make_tensor(str_dup(v->name), ONNX__ELEMENT_TYPE__FLOAT32, v->shape.dim,
                            (size_t)v->shape.rank, v->data,
                            (size_t)shape_count(&v->shape) * sizeof(float));
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
        ok = !g->nodes.at[i].op || onnx_write_node(m->graph, g, &g->nodes.at[i], err);
    if (ok)
        pack(m, out);
    onnx__model__free_unpacked(m, NULL);
    return ok;
}
