/* Exported models as a reader meets them: parsed again, every name resolved, every number in its place.
 * What they compute is held against a foreign runtime in tests/onnx. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/rng.h"
#include "proto/wire/onnx.pb-c.h"
#include "tests/unit/unit.h"
#include "worker/engine/ops/ops.h"
#include "worker/nets.h"
#include "worker/onnx/export.h"

enum {
    MAX_NAMES = 2000,
    CLASSES = 7,
    SIZE = 28,
    MAX_DEPTH = 40
};

static const char *const outputs[] = {"logits", "features", NULL};
static const struct st_meta properties[] = {{"model", "a model"}, {"mean", "0.1,0.2,0.3"}};
static const struct onnx_labels labels = {
    .graph_name = "test", .outputs = outputs, .properties = properties, .n_properties = 2};

/* The model with the k-th float of each parameter drawn from its name; *values holds them. */
static struct graph *open_graph(const struct model_def *model, float **values)
{
    struct graph *g = nets_inference_graph(model, 1, SIZE, CLASSES, false);
    size_t total = 0, at = 0;

    for (size_t i = 0; i < g->values.n; i++)
        total += (size_t)shape_count(&g->values.at[i].shape);
    *values = NEW_ARRAY(float, total);
    for (size_t i = 0; i < g->values.n; i++) {
        const struct value *v = &g->values.at[i];
        int64_t n = shape_count(&v->shape);

        if (v->kind != VALUE_PARAM && v->kind != VALUE_BUFFER)
            continue;
        for (int64_t k = 0; k < n; k++)
            (*values)[at + (size_t)k] = (float)rng_uniform(rng_key_text(1, v->name), (uint64_t)k);
        graph_set_const(g, (value_id)i, *values + at);
        at += (size_t)n;
    }
    return g;
}

static struct buf exported(const struct graph *g)
{
    struct buf b = buf_new(0);
    struct error err;

    ck_assert_ok(onnx_export(g, &labels, &b, &err), err);
    return b;
}

static Onnx__Model *parsed(const struct graph *g)
{
    struct buf b = exported(g);
    Onnx__Model *m = onnx__model__unpack(NULL, b.len, (const uint8_t *)b.data);

    ck_assert_ptr_nonnull(m);
    buf_free(&b);
    return m;
}

struct names {
    const char *at[MAX_NAMES];
    size_t n;
};

static bool known(const struct names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->at[i], name) == 0)
            return true;
    return false;
}

static void define(struct names *names, const char *name)
{
    ck_assert_msg(name && *name && !known(names, name), "\"%s\" is empty or not unique", name);
    ck_assert_uint_lt(names->n, MAX_NAMES);
    names->at[names->n++] = name;
}

static void check_names(const Onnx__Graph *graph)
{
    struct names *values = NEW(struct names), *nodes = NEW(struct names);

    for (size_t i = 0; i < graph->n_input; i++)
        define(values, graph->input[i]->name);
    for (size_t i = 0; i < graph->n_initializer; i++)
        define(values, graph->initializer[i]->name);
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__Node *node = graph->node[i];

        define(nodes, node->name);
        for (size_t k = 0; k < node->n_input; k++)
            ck_assert_msg(known(values, node->input[k]), "%s reads %s, which does not exist yet",
                          node->name, node->input[k]);
        for (size_t k = 0; k < node->n_output; k++)
            define(values, node->output[k]);
    }
    for (size_t i = 0; i < graph->n_output; i++)
        ck_assert(known(values, graph->output[i]->name));
    free(values);
    free(nodes);
}

static void check_shape(const Onnx__ValueInfo *info, const char *name, const int64_t *dims,
                        size_t rank)
{
    const Onnx__TensorType *type = info->type->tensor_type;

    ck_assert_str_eq(info->name, name);
    ck_assert_int_eq(type->elem_type, 1);
    ck_assert_uint_eq(type->shape->n_dim, rank);
    ck_assert_int_eq(type->shape->dim[0]->kind_case, ONNX__DIMENSION__KIND_DIM_PARAM);
    ck_assert_str_eq(type->shape->dim[0]->dim_param, "batch");
    for (size_t i = 1; i < rank; i++)
        ck_assert_int_eq(type->shape->dim[i]->dim_value, dims[i]);
}

/* Every parameter of the model is there, under its name, in its shape, with its values. */
static void check_tensors(const Onnx__Graph *graph, const struct graph *g)
{
    size_t parameters = 0, found = 0;

    for (size_t i = 0; i < g->values.n; i++)
        parameters += g->values.at[i].kind == VALUE_CONST;
    for (size_t i = 0; i < graph->n_initializer; i++) {
        const Onnx__Tensor *t = graph->initializer[i];
        value_id id = graph_find(g, t->name);
        const struct value *v;

        if (strchr(t->name, '/'))
            continue; /* belongs to a node */
        ck_assert_msg(id != NO_VALUE, "%s", t->name);
        found++;
        v = &g->values.at[id];
        ck_assert_int_eq(t->data_type, 1);
        ck_assert_uint_eq(t->n_dims, (size_t)v->shape.rank);
        for (size_t k = 0; k < t->n_dims; k++)
            ck_assert_int_eq(t->dims[k], v->shape.dim[k]);
        ck_assert_uint_eq(t->raw_data.len, (size_t)shape_count(&v->shape) * sizeof(float));
        ck_assert_mem_eq(t->raw_data.data, v->data, t->raw_data.len);
    }
    ck_assert_uint_eq(found, parameters);
}

/* Up to a depth that takes seconds; tests/onnx has deeper ones. */
START_TEST(every_model_is_whole)
{
    for (size_t i = 0; i < model_registry_len; i++) {
        const struct model_def *model = &model_registry[i];
        Onnx__Model *m;
        struct graph *g;
        float *values;
        int64_t width;

        if (model->depth > MAX_DEPTH)
            continue;
        g = open_graph(model, &values);
        m = parsed(g);
        width = graph_shape(g, graph_find(g, "features"))->dim[1];
        ck_assert_int_eq(m->ir_version, 8);
        ck_assert_uint_eq(m->n_opset_import, 1);
        ck_assert_str_eq(m->opset_import[0]->domain, "");
        ck_assert_int_eq(m->opset_import[0]->version, 17);
        check_names(m->graph);
        check_tensors(m->graph, g);
        ck_assert_uint_eq(m->graph->n_input, 1);
        ck_assert_uint_eq(m->graph->n_output, 2);
        check_shape(m->graph->input[0], "images", (int64_t[]){0, 3, SIZE, SIZE}, 4);
        check_shape(m->graph->output[0], "logits", (int64_t[]){0, CLASSES}, 2);
        check_shape(m->graph->output[1], "features", (int64_t[]){0, width}, 2);
        onnx__model__free_unpacked(m, NULL);
        graph_free(g);
        free(values);
    }
}
END_TEST

static const Onnx__Attribute *attribute(const Onnx__Graph *graph, const char *node,
                                        const char *name)
{
    for (size_t i = 0; i < graph->n_node; i++)
        for (size_t k = 0; k < graph->node[i]->n_attribute; k++)
            if (strcmp(graph->node[i]->name, node) == 0 &&
                strcmp(graph->node[i]->attribute[k]->name, name) == 0)
                return graph->node[i]->attribute[k];
    ck_abort_msg("%s has no attribute %s", node, name);
    return NULL;
}

static void check_ints(const Onnx__Attribute *a, const int64_t *want, size_t n)
{
    ck_assert_int_eq(a->type, ONNX__ATTRIBUTE__TYPE__INTS);
    ck_assert_uint_eq(a->n_ints, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(a->ints[i], want[i]);
}

START_TEST(attributes_are_those_of_the_layers)
{
    float *values;
    struct graph *g = open_graph(model_find("resnet8", NULL), &values);
    Onnx__Model *m = parsed(g);
    const Onnx__Attribute *a;

    check_ints(attribute(m->graph, "layer2.0.conv1", "strides"), (int64_t[]){2, 2}, 2);
    check_ints(attribute(m->graph, "layer2.0.conv1", "pads"), (int64_t[]){1, 1, 1, 1}, 4);
    check_ints(attribute(m->graph, "layer2.0.downsample.0", "pads"), (int64_t[]){0, 0, 0, 0}, 4);
    a = attribute(m->graph, "bn1", "epsilon");
    ck_assert_int_eq(a->type, ONNX__ATTRIBUTE__TYPE__FLOAT);
    ck_assert(a->f == 1e-5f);
    a = attribute(m->graph, "fc", "transB");
    ck_assert_int_eq(a->type, ONNX__ATTRIBUTE__TYPE__INT);
    ck_assert_int_eq(a->i, 1);
    ck_assert_uint_eq(m->n_metadata_props, 2);
    ck_assert_str_eq(m->metadata_props[1]->key, "mean");
    ck_assert_str_eq(m->metadata_props[1]->value, "0.1,0.2,0.3");
    onnx__model__free_unpacked(m, NULL);
    graph_free(g);
    free(values);
}
END_TEST

START_TEST(bytes_depend_on_the_model_alone)
{
    float *values, *again;
    struct graph *a = open_graph(model_find("resnet14", NULL), &values);
    struct graph *b = open_graph(model_find("resnet14", NULL), &again);
    struct buf one = exported(a), two = exported(b);

    ck_assert_uint_eq(one.len, two.len);
    ck_assert_mem_eq(one.data, two.data, one.len);
    buf_free(&one);
    buf_free(&two);
    graph_free(a);
    graph_free(b);
    free(values);
    free(again);
}
END_TEST

START_TEST(an_operator_without_a_form_is_named)
{
    struct graph *g = graph_new();
    value_id x = graph_input(g, "x", DT_REAL, shape2(1, 3));
    struct buf b = buf_new(0);
    struct error err;

    graph_mark_output(g, g_row_norm(g, x), "logits");
    ck_assert_error(
        onnx_export(g, &(struct onnx_labels){"g", (const char *[]){"logits", NULL}, NULL, 0}, &b,
                    &err),
        err, "operator ReduceL2 cannot be written as ONNX");
    ck_assert_int_eq(err.code, ERR_UNSUPPORTED);
    ck_assert_uint_eq(b.len, 0);
    graph_free(g);
}
END_TEST

UNIT_MAIN(every_model_is_whole, attributes_are_those_of_the_layers, bytes_depend_on_the_model_alone,
          an_operator_without_a_form_is_named)
