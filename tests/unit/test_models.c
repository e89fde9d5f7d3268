/* The models as tables of numbers: parameters (paper.md 3.1), feature widths, names and shapes of
 * PyTorch's state_dict, and that a forward pass can be planned at all. */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "worker/engine/ops/ops.h"
#include "worker/engine/passes/compile.h"
#include "worker/models/model.h"

static struct graph *build(const struct model_def *def, int64_t classes, struct model_outputs *out)
{
    struct graph *g = graph_new();
    const struct net net = {.g = g, .training = false, .prefix = ""};

    def->build(&net, def, graph_input(g, "images", DT_REAL, shape4(1, 3, 32, 32)), classes, out);
    return g;
}

static int64_t parameters(const struct graph *g)
{
    int64_t n = 0;

    for (size_t i = 0; i < g->values.n; i++)
        n += g->values.at[i].kind == VALUE_PARAM ? shape_count(&g->values.at[i].shape) : 0;
    return n;
}

static const struct {
    const char *name;
    int64_t parameters, width; /* with 100 classes */
} known[] = {
    {"resnet8", 83892, 64},     {"resnet14", 181108, 64},    {"resnet20", 278324, 64},
    {"resnet32", 472756, 64},   {"resnet44", 667188, 64},    {"resnet56", 861620, 64},
    {"resnet110", 1736564, 64}, {"resnet8x4", 1233540, 256}, {"resnet32x4", 7433860, 256},
};

START_TEST(every_model_has_its_number_of_parameters)
{
    ck_assert_uint_eq(model_registry_len, ARRAY_LEN(known));
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        struct error err;
        const struct model_def *def = model_find(known[i].name, &err);
        struct model_outputs out;
        struct graph *g;

        ck_assert_msg(def != NULL, "%s", err.msg);
        g = build(def, 100, &out);
        ck_assert_msg(graph_ok(g, &err), "%s", err.msg);
        ck_assert_msg(parameters(g) == known[i].parameters, "%s has %lld parameters", def->name,
                      (long long)parameters(g));
        ck_assert_int_eq(graph_shape(g, out.features)->dim[1], known[i].width);
        ck_assert_int_eq(graph_shape(g, out.logits)->dim[1], 100);
        graph_free(g);
    }
}
END_TEST

START_TEST(names_are_those_of_the_state_dict)
{
    static const struct {
        const char *name;
        struct shape shape;
    } some[] = {
        {"conv1.weight", {4, {32, 3, 3, 3}}},
        {"bn1.running_var", {1, {32}}},
        {"layer1.0.downsample.0.weight", {4, {64, 32, 1, 1}}},
        {"layer2.0.downsample.1.running_mean", {1, {128}}},
        {"layer3.0.conv2.weight", {4, {256, 256, 3, 3}}},
        {"fc.weight", {2, {10, 256}}},
        {"fc.bias", {1, {10}}},
    };
    struct model_outputs out;
    struct graph *g = build(model_find("resnet8x4", NULL), 10, &out);

    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        value_id v = graph_find(g, some[i].name);
        char text[SHAPE_TEXT];

        ck_assert_msg(v != NO_VALUE, "no %s", some[i].name);
        ck_assert_msg(shape_equal(graph_shape(g, v), &some[i].shape), "%s is %s", some[i].name,
                      shape_text(graph_shape(g, v), text));
    }
    graph_free(g);
}
END_TEST

START_TEST(every_model_compiles_and_taps_its_stages)
{
    for (size_t i = 0; i < model_registry_len; i++) {
        struct error err;
        struct backend *b = backend_open("ref", 1, &err);
        struct flat flat = {0};
        struct model_outputs out;
        struct graph *g = build(&model_registry[i], 7, &out);
        struct plan *p;

        ck_assert_int_eq(out.n_taps, 4);
        graph_mark_output(g, out.logits, "logits");
        p = compile(g, &(struct compile_options){.backend = b, .flat = &flat}, &err);
        ck_assert_msg(p != NULL, "%s: %s", model_registry[i].name, err.msg);
        ck_assert_int_ge(plan_io_find(p, "logits"), 0);
        plan_free(p);
        flat_free(&flat);
        backend_close(b);
    }
}
END_TEST

static double deviation(enum param_role role, struct shape s, int64_t fan_in)
{
    size_t n = (size_t)shape_count(&s);
    float *x = NEW_ARRAY(float, n);
    double squares = 0;

    init_tensor("x.weight", role, &s, fan_in, 1, x);
    for (size_t i = 0; i < n; i++)
        squares += (double)x[i] * (double)x[i];
    free(x);
    return squares / (double)n;
}

/* Kaiming with fan-out for convolutions, uniform in 1/sqrt(fan-in) for linear layers. */
START_TEST(first_values_have_their_spread)
{
    ck_assert_double_eq_tol(deviation(ROLE_CONV_WEIGHT, shape4(64, 32, 3, 3), 288), 2. / (64 * 9),
                            2e-4);
    ck_assert_double_eq_tol(deviation(ROLE_LINEAR_WEIGHT, shape2(100, 64), 64), 1. / (3 * 64),
                            2e-4);
    ck_assert_double_eq(deviation(ROLE_BN_GAMMA, shape1(8), 1), 1);
    ck_assert_double_eq(deviation(ROLE_BN_BETA, shape1(8), 1), 0);
}
END_TEST

START_TEST(an_unknown_model_is_named_with_those_that_are_known)
{
    struct error err;

    ck_assert_error(model_find("resnet21", &err), err, "resnet21");
    ck_assert_ptr_nonnull(strstr(err.msg, "resnet20"));
}
END_TEST

UNIT_MAIN(every_model_has_its_number_of_parameters, names_are_those_of_the_state_dict,
          every_model_compiles_and_taps_its_stages, first_values_have_their_spread,
          an_unknown_model_is_named_with_those_that_are_known)
