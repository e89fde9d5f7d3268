/* Graphs that PyTorch exported (tests/onnx/torch_nets.py made them): they compute here what they compute
 * there, for another batch than they were written for, and what cannot be read is refused by name. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/ckpt/safetensors.h"
#include "worker/conformance/single.h"
#include "worker/engine/ops/ops.h"
#include "worker/job_models.h"
#include "worker/nets.h"
#include "worker/onnx/export.h"
#include "worker/onnx/import.h"
#include "worker/onnx/replay.h"
#include "worker/replica.h"

enum {
    BATCH = 3,
    SIZE = 8,
    CLASSES = 3
};

static const struct onnx_options plain = {0};

static char *fixture(const char *name, const char *ending)
{
    return str_fmt("%s/tests/onnx/fixtures/%s.%s", getenv("srcdir"), name, ending);
}

static struct onnx_model *open_fixture(const char *name)
{
    char *path = fixture(name, "onnx");
    struct error err;
    struct onnx_model *m = onnx_open(path, &plain, &err);

    ck_assert_msg(m != NULL, "%s", err.msg);
    free(path);
    return m;
}

static struct graph *build(const struct onnx_model *m, bool training, int64_t classes)
{
    struct graph *g = graph_new();
    const struct net net = {.g = g, .training = training, .prefix = ""};
    value_id images = graph_input(g, "images", DT_REAL, shape4(BATCH, 3, SIZE, SIZE));
    struct model_outputs out;

    onnx_build(m, &net, images, classes, &out);
    graph_mark_output(g, out.logits, "logits");
    graph_mark_output(g, out.features, "features");
    return g;
}

static bool tensor(void *model, const char *name, const struct shape *shape, float *out,
                   struct error *err)
{
    size_t n;
    const struct st_tensor *t = onnx_tensors(model, &n);

    (void)shape;
    for (size_t i = 0; i < n; i++)
        if (strcmp(t[i].name, name) == 0)
            return st_to_float(&t[i], out);
    return err_set(err, ERR_DATA, "no tensor %s", name);
}

/* The results of a graph on images; free() both. */
static void compute(struct onnx_model *m, const char *backend, const float *images, double **logits,
                    double **features)
{
    struct graph *g = build(m, false, CLASSES);
    float *values = NULL;
    struct single s;
    struct error err;
    size_t n;

    ck_assert_ok(graph_ok(g, &err), err);
    ck_assert_ok(nets_set_constants(g, tensor, m, &values, &err), err);
    ck_assert_ok(single_open(&s, g, backend, &err), err);
    single_set(&s, "images", images);
    single_run(&s);
    *logits = single_get(&s, "logits", &n);
    ck_assert_uint_eq(n, BATCH * CLASSES);
    *features = single_get(&s, "features", &n);
    single_close(&s);
    free(values);
}

static void check_near(const char *what, const double *got, const struct st_tensor *want)
{
    size_t n = (size_t)st_count(want);
    double *w = NEW_ARRAY(double, n), largest = 1e-3;

    ck_assert(st_to_double(want, w));
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(w[i]));
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(fabs(got[i] - w[i]) <= 1e-5 * largest,
                      "%s: element %zu is %.9g, expected %.9g", what, i, got[i], w[i]);
    free(w);
}

static void softmax(double *rows)
{
    for (int i = 0; i < BATCH; i++) {
        double sum = 0;

        for (int c = 0; c < CLASSES; c++)
            sum += exp(rows[i * CLASSES + c]);
        for (int c = 0; c < CLASSES; c++)
            rows[i * CLASSES + c] = exp(rows[i * CLASSES + c]) / sum;
    }
}

static void check_fixture(const char *name, const char *results, const char *backend)
{
    char *path = fixture(results, "safetensors");
    struct error err;
    struct safetensors *st = st_open(path, &err);
    struct onnx_model *m = open_fixture(name);
    float images[BATCH * 3 * SIZE * SIZE];
    double *logits, *features;

    ck_assert_msg(st != NULL, "%s", err.msg);
    ck_assert(st_to_float(st_find(st, "in.x"), images));
    compute(m, backend, images, &logits, &features);
    if (st_find(st, "out.softmax")) {
        softmax(logits);
        check_near(name, logits, st_find(st, "out.softmax"));
    } else {
        check_near(name, logits, st_find(st, "out.logits"));
        check_near(name, features, st_find(st, "out.feat"));
    }
    free(logits);
    free(features);
    onnx_close(m);
    st_close(st);
    free(path);
}

static const struct {
    const char *name, *results;
} fixtures[] = {
    {"residual-13", "residual"}, {"residual-17", "residual"}, {"residual-folded", "residual"},
    {"shuffled-13", "shuffled"}, {"shuffled-17", "shuffled"}, {"gated-13", "gated"},
    {"gated-17", "gated"},       {"odd-17", "odd"},           {"odd-static", "odd"},
    {"training-13", "training"}, {"training-15", "training"},
};

START_TEST(graphs_compute_what_pytorch_does)
{
    for (size_t i = 0; i < ARRAY_LEN(fixtures); i++) {
        check_fixture(fixtures[i].name, fixtures[i].results, "ref");
        check_fixture(fixtures[i].name, fixtures[i].results, "cpu");
    }
}
END_TEST

static bool appears(const char *op)
{
    bool found = false;

    for (size_t i = 0; !found && i < ARRAY_LEN(fixtures); i++) {
        struct onnx_model *m = open_fixture(fixtures[i].name);

        for (size_t k = 0; k < onnx_nodes(m); k++)
            found |= strcmp(onnx_node(m, k)->op_type, op) == 0;
        onnx_close(m);
    }
    return found;
}

START_TEST(every_operator_that_is_read_is_in_some_file)
{
    for (size_t i = 0; i < n_import_rules; i++)
        ck_assert_msg(appears(import_rules[i].op), "no file has %s", import_rules[i].op);
    for (size_t i = 0; i < n_import_view_rules; i++)
        ck_assert_msg(appears(import_view_rules[i].op), "no file has %s", import_view_rules[i].op);
}
END_TEST

/* A batch norm that stayed one learns, and moves its running statistics; one that was folded is a bias. */
START_TEST(a_student_has_the_parameters_of_its_file)
{
    static const struct {
        const char *file;
        int wants, sinks;
    } cases[] = {{"residual-13", 29, 18}, {"residual-folded", 20, 0}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct onnx_model *m = open_fixture(cases[i].file);
        struct graph *g = build(m, true, CLASSES);
        struct error err;

        ck_assert_ok(graph_ok(g, &err), err);
        ck_assert_msg(g->wants.n == (size_t)cases[i].wants && g->sinks.n == (size_t)cases[i].sinks,
                      "%s: %zu gradients, %zu running statistics", cases[i].file, g->wants.n,
                      g->sinks.n);
        graph_free(g);
        onnx_close(m);
    }
}
END_TEST

START_TEST(features_are_found_or_named)
{
    static const struct {
        const char *name, *error;
        int64_t width;
    } cases[] = {
        {NULL, NULL, 8},
        {"/ReduceMean_output_0", NULL, 8},
        {"/Clip_1_output_0", "has the shape [3,8,2,2], expected [batch,width]", 0},
        {"nothing", "has no value \"nothing\"", 0},
        {"logits", "is the logits, not the features", 0},
    };
    char *path = fixture("shuffled-13", "onnx");

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct onnx_options options = {.features = cases[i].name};
        struct error err;
        struct onnx_model *m = onnx_open(path, &options, &err);
        struct graph *g = m ? build(m, false, CLASSES) : NULL;
        bool ok = g && graph_ok(g, &err);

        ck_assert_msg(ok == !cases[i].error, "case %zu: %s", i, err.msg);
        if (ok)
            ck_assert_int_eq(graph_shape(g, graph_find(g, "features"))->dim[1], cases[i].width);
        else
            ck_assert_msg(strstr(err.msg, cases[i].error), "case %zu: %s", i, err.msg);
        graph_free(g);
        onnx_close(m);
    }
    free(path);
}
END_TEST

START_TEST(other_classes_and_sizes_are_refused)
{
    struct onnx_model *m = open_fixture("residual-folded");
    struct graph *g = build(m, false, 7), *large = graph_new();
    const struct net net = {.g = large, .prefix = ""};
    struct model_outputs out;
    struct error err;

    ck_assert_error(graph_ok(g, &err), err, "tells 3 classes apart, the data have 7");
    onnx_build(m, &net, graph_input(large, "images", DT_REAL, shape4(1, 3, 16, 16)), 3, &out);
    ck_assert_error(graph_ok(large, &err), err,
                    "takes images of [3,8,8], here they are [1,3,16,16]");
    graph_free(g);
    graph_free(large);
    onnx_close(m);
}
END_TEST

/* A file of one node (in front of which stands what every classifier has) with the given operator. */
static Onnx__Model *read_fixture(const char *name)
{
    char *path = fixture(name, "onnx");
    struct buf b = buf_new(1 << 20);
    struct error err;
    Onnx__Model *m;

    ck_assert_ok(file_read(path, &b, &err), err);
    m = onnx__model__unpack(NULL, b.len, (const uint8_t *)buf_text(&b));
    ck_assert_ptr_nonnull(m);
    buf_free(&b);
    free(path);
    return m;
}

static Onnx__Node *node_of(Onnx__Model *m, const char *op)
{
    for (size_t i = 0; i < m->graph->n_node; i++)
        if (strcmp(m->graph->node[i]->op_type, op) == 0)
            return m->graph->node[i];
    ck_abort_msg("there is no %s", op);
    return NULL;
}

static Onnx__Attribute *attribute_of(Onnx__Node *n, const char *name)
{
    for (size_t i = 0; i < n->n_attribute; i++)
        if (strcmp(n->attribute[i]->name, name) == 0)
            return n->attribute[i];
    ck_abort_msg("there is no %s", name);
    return NULL;
}

static void set_text(char **text, const char *value)
{
    free(*text);
    *text = str_dup(value);
}

static void change_operator(Onnx__Model *m)
{
    set_text(&node_of(m, "Relu")->op_type, "Softsign");
}
static void change_domain(Onnx__Model *m)
{
    set_text(&node_of(m, "Relu")->domain, "com.example");
}
static void change_dilation(Onnx__Model *m)
{
    attribute_of(node_of(m, "Conv"), "dilations")->ints[1] = 2;
}
static void change_attribute(Onnx__Model *m)
{
    set_text(&attribute_of(node_of(m, "Conv"), "group")->name, "grouping");
}
static void change_stride(Onnx__Model *m)
{
    attribute_of(node_of(m, "Conv"), "strides")->ints[0] = 0;
}
static void change_pads(Onnx__Model *m)
{
    attribute_of(node_of(m, "Conv"), "pads")->ints[0] = INT64_C(1) << 40;
}
static void change_alpha(Onnx__Model *m)
{
    attribute_of(node_of(m, "Gemm"), "alpha")->f = 2;
}
static void change_input(Onnx__Model *m)
{
    set_text(&node_of(m, "Gemm")->input[0], "logits");
}
static void change_order(Onnx__Model *m)
{
    set_text(&node_of(m, "Relu")->input[0], node_of(m, "Reshape")->output[0]);
}
static void change_version(Onnx__Model *m)
{
    m->opset_import[0]->version = 18;
}
static void change_name(Onnx__Model *m)
{
    set_text(&node_of(m, "Relu")->output[0], node_of(m, "Conv")->output[0]);
}
static void change_tensor(Onnx__Model *m)
{
    m->graph->initializer[0]->raw_data.len--;
}
static void change_type(Onnx__Model *m)
{
    m->graph->initializer[0]->data_type = (Onnx__ElementType)8;
}
static void change_channels(Onnx__Model *m)
{
    m->graph->input[0]->type->tensor_type->shape->dim[1]->dim_value = 1;
}

static void check_refused(Onnx__Model *m, const char *text, enum err_code code)
{
    size_t len = onnx__model__get_packed_size(m);
    uint8_t *data = mem_calloc(len, 1);
    struct onnx_model *model;
    struct graph *g;
    struct error err = {0};

    onnx__model__pack(m, data);
    model = onnx_open_memory(data, len, "some.onnx", &plain, &err);
    g = model ? build(model, false, CLASSES) : NULL;
    ck_assert_error(g && graph_ok(g, &err), err, text);
    ck_assert_msg(strstr(err.msg, "some.onnx") && err.code == code, "code %d: %s", (int)err.code,
                  err.msg);
    graph_free(g);
    onnx_close(model);
    free(data);
}

START_TEST(what_is_not_known_is_named_with_its_node)
{
    static const struct {
        void (*change)(Onnx__Model *m);
        const char *text;
        enum err_code code;
    } cases[] = {
        {change_operator, "node \"/Relu\" (Softsign): this operator is not known", ERR_UNSUPPORTED},
        {change_domain, "(Relu): operators of com.example are not known", ERR_UNSUPPORTED},
        {change_dilation, "node \"/conv1/Conv\" (Conv): dilations has 2", ERR_UNSUPPORTED},
        {change_attribute, "(Conv): attribute grouping is not known", ERR_UNSUPPORTED},
        {change_stride, "(Conv): strides has 0, expected 1 to", ERR_UNSUPPORTED},
        {change_pads, "(Conv): pads has 1099511627776, expected 0 to", ERR_UNSUPPORTED},
        {change_alpha, "(Gemm): only alpha 1 and beta 1", ERR_UNSUPPORTED},
        {change_input, "is the logits, not the features", ERR_INVALID},
        {change_order, "(Relu): input 0 (", ERR_UNSUPPORTED},
        {change_version, "operator set 18; 11 to 17 are read", ERR_UNSUPPORTED},
        {change_name, "two values are called", ERR_DATA},
        {change_tensor, "do not fit its shape", ERR_DATA},
        {change_type, "has numbers of type 8", ERR_UNSUPPORTED},
        {change_channels, "takes images of [1,8,8]", ERR_DATA},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Onnx__Model *m = read_fixture("residual-13");

        cases[i].change(m);
        check_refused(m, cases[i].text, cases[i].code);
        onnx__model__free_unpacked(m, NULL);
    }
}
END_TEST

/* 1 / sqrt of the products in an output of the layer that has this bias, from the file. */
static double bound_of(const struct onnx_model *m, const char *bias)
{
    for (size_t i = 0; i < onnx_nodes(m); i++) {
        const Onnx__Node *n = onnx_node(m, i);
        const struct st_tensor *w;

        if (n->n_input < 3 || strcmp(n->input[2], bias) != 0)
            continue;
        w = onnx_value_at(m, onnx_find(m, n->input[1]))->tensor;
        return 1 / sqrt((double)(st_count(w) / w->shape[0]));
    }
    ck_abort_msg("no layer has the bias %s", bias);
    return 0;
}

static double largest_of(const struct replica *r, const struct flat_entry *e)
{
    double most = 0;

    for (size_t i = 0; i < e->count; i++)
        most = fmax(most, fabs((double)r->params[e->offset + i]));
    return most;
}

/* Biases of a file stand beside weights that are called otherwise. */
START_TEST(biases_are_drawn_with_the_fan_in_of_their_weights)
{
    char *path = fixture("residual-folded", "onnx");
    const struct model_request request = {.pointer = "#", .model = "onnx", .graph = path};
    struct replica_config cfg = {.backend = "ref", .threads = 1, .chunk = BATCH, .seed = 5};
    struct onnx_model *file = open_fixture("residual-folded");
    struct job_model *m;
    struct replica *r;
    size_t biases = 0;
    struct error err;

    m = job_model_open(&request, &err);
    ck_assert_msg(m != NULL, "%s", err.msg);
    cfg.nets = (struct nets){.student = job_model_def(m), .classes = CLASSES, .image_size = SIZE};
    ck_assert_ok(nets_measure(&cfg.nets, &err), err);
    r = replica_open(&cfg, NULL, NULL, &err);
    ck_assert_msg(r != NULL, "%s", err.msg);
    replica_init(r);
    for (size_t i = 0; i < r->flat.params.n; i++) {
        const struct flat_entry *e = &r->flat.params.at[i];
        double most = largest_of(r, e);

        if (e->role != ROLE_BIAS)
            continue;
        ck_assert_msg(most > 0 && most <= bound_of(file, e->name),
                      "%s: up to %g, expected up to %g", e->name, most, bound_of(file, e->name));
        biases++;
    }
    ck_assert_uint_gt(biases, 5);
    replica_close(r);
    job_model_close(m);
    onnx_close(file);
    free(path);
}
END_TEST

/* Values of training, and layers that are thrown away after it. */
START_TEST(a_tensor_cannot_be_called_like_what_stands_around_a_model)
{
    static const char *const names[] = {
        "labels",        "partners",        "share",       "direction", "directions",
        "mask",          "teacher_feat",    "seed/logits", "loss/kd",   "projector.0.weight",
        "abfs.0.weight", "connector.weight"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        Onnx__Model *m = read_fixture("residual-13");
        char *text = str_fmt("cannot be called %s", names[i]);

        set_text(&m->graph->initializer[0]->name, names[i]);
        set_text(&node_of(m, "Conv")->input[1], names[i]);
        check_refused(m, text, ERR_UNSUPPORTED);
        free(text);
        onnx__model__free_unpacked(m, NULL);
    }
}
END_TEST

/* Millions of empty messages in a small file. */
START_TEST(a_file_cannot_ask_for_any_memory)
{
    enum {
        NODES = 4 << 20
    };
    struct buf b = buf_new(0);
    unsigned char head[] = {0x08, 8, 0x3a, 0, 0, 0, 0};
    uint32_t len = 2 * NODES;
    struct error err = {0};

    for (int i = 0; i < 4; i++)
        head[3 + i] = (unsigned char)((len >> (7 * i) & 127) | (i < 3 ? 128 : 0));
    buf_add(&b, head, sizeof(head));
    for (int i = 0; i < NODES; i++)
        buf_add(&b, "\x0a\x00", 2);
    ck_assert_error(onnx_open_memory(buf_text(&b), b.len, "x", &plain, &err), err, "MB to read");
    buf_free(&b);
}
END_TEST

/* What export writes is read again, to the same graph with the same numbers. */
START_TEST(every_model_makes_a_round_trip)
{
    static const char *const outputs[] = {"logits", "features", NULL};

    for (size_t i = 0; i < model_registry_len; i++) {
        const struct model_def *def = &model_registry[i];
        const struct onnx_labels labels = {.graph_name = "test", .outputs = outputs};
        struct graph *g, *again = graph_new();
        const struct net net = {.g = again, .prefix = ""};
        struct buf b = buf_new(0);
        struct onnx_model *m;
        struct model_outputs out;
        struct error err;
        size_t parameters = 0, n;
        int64_t size = 32;

        g = nets_inference_graph(def, 1, size, CLASSES, false);
        for (size_t k = 0; k < g->values.n; k++) {
            struct value *v = &g->values.at[k];

            if (v->kind != VALUE_PARAM && v->kind != VALUE_BUFFER)
                continue;
            v->owned = NEW_ARRAY(float, (size_t)shape_count(&v->shape));
            graph_set_const(g, (value_id)k, v->owned);
            parameters++;
        }
        ck_assert_ok(onnx_export(g, &labels, &b, &err), err);
        m = onnx_open_memory(buf_text(&b), b.len, def->name, &plain, &err);
        ck_assert_msg(m != NULL, "%s", err.msg);
        onnx_tensors(m, &n);
        ck_assert_uint_ge(n, parameters);
        onnx_build(m, &net, graph_input(again, "images", DT_REAL, shape4(5, 3, size, size)),
                   CLASSES, &out);
        ck_assert_ok(graph_ok(again, &err), err);
        ck_assert_int_eq(graph_shape(again, out.features)->dim[1],
                         graph_shape(g, graph_find(g, "features"))->dim[1]);
        for (size_t k = 0; k < again->values.n; k++)
            parameters -=
                again->values.at[k].kind == VALUE_PARAM || again->values.at[k].kind == VALUE_BUFFER;
        ck_assert_msg(parameters == 0, "%s: %zu parameters are lost", def->name, parameters);
        onnx_close(m);
        graph_free(again);
        graph_free(g);
        buf_free(&b);
    }
}
END_TEST

UNIT_MAIN(graphs_compute_what_pytorch_does, every_operator_that_is_read_is_in_some_file,
          a_student_has_the_parameters_of_its_file, features_are_found_or_named,
          other_classes_and_sizes_are_refused, what_is_not_known_is_named_with_its_node,
          biases_are_drawn_with_the_fan_in_of_their_weights,
          a_tensor_cannot_be_called_like_what_stands_around_a_model,
          a_file_cannot_ask_for_any_memory, every_model_makes_a_round_trip)
