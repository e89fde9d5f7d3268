/* The models as tables of numbers: parameters (paper.md 3.1), feature widths, names and shapes of
 * PyTorch's state_dict, and that a forward pass can be planned at all. */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "worker/engine/ops/ops.h"
#include "worker/engine/passes/compile.h"
#include "worker/models/model.h"

static struct graph *build(const struct model_def *def, int64_t size, int64_t classes,
                           struct model_outputs *out)
{
    struct graph *g = graph_new();
    const struct net net = {.g = g, .training = false, .prefix = ""};

    def->build(&net, def, graph_input(g, "images", DT_REAL, shape4(1, 3, size, size)), classes,
               out);
    return g;
}

static int64_t parameters(const struct graph *g)
{
    int64_t n = 0;

    for (size_t i = 0; i < g->values.n; i++)
        n += g->values.at[i].kind == VALUE_PARAM ? shape_count(&g->values.at[i].shape) : 0;
    return n;
}

/* For the data set that it was made for. */
static const struct {
    const char *name;
    int64_t parameters, width;
    int taps;
} known[] = {
    {"resnet8", 83892, 64, 4},
    {"resnet14", 181108, 64, 4},
    {"resnet20", 278324, 64, 4},
    {"resnet32", 472756, 64, 4},
    {"resnet44", 667188, 64, 4},
    {"resnet56", 861620, 64, 4},
    {"resnet110", 1736564, 64, 4},
    {"resnet8x4", 1233540, 256, 4},
    {"resnet32x4", 7433860, 256, 4},
    {"resnet18_cifar", 11220132, 512, 5},
    {"resnet50_cifar", 23705252, 2048, 5},
    {"wrn_16_1", 180916, 64, 4},
    {"wrn_16_2", 703284, 128, 4},
    {"wrn_40_1", 569780, 64, 4},
    {"wrn_40_2", 2255156, 128, 4},
    {"vgg8", 3965028, 512, 5},
    {"vgg13", 9462180, 512, 5},
    {"mobilenetv2", 812836, 1280, 5},
    {"shufflenetv1", 949258, 960, 4},
    {"shufflenetv2", 1355528, 1024, 4},
    {"shufflenetv2_x02", 220388, 512, 4},
    {"resnet18", 11689512, 512, 5},
    {"resnet34", 21797672, 512, 5},
    {"resnet50", 25557032, 2048, 5},
    {"resnet101", 44549160, 2048, 5},
    {"resnet152", 60192808, 2048, 5},
    {"mobilenetv1", 4231976, 1024, 5},
    {"imagenet_mobilenetv2", 3504872, 1280, 5},
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
        g = build(def, def->facts->image_size, def->facts->classes, &out);
        ck_assert_msg(graph_ok(g, &err), "%s: %s", def->name, err.msg);
        ck_assert_msg(parameters(g) == known[i].parameters, "%s has %lld parameters", def->name,
                      (long long)parameters(g));
        ck_assert_int_eq(graph_shape(g, out.features)->dim[1], known[i].width);
        ck_assert_int_eq(graph_shape(g, out.logits)->dim[1], def->facts->classes);
        ck_assert_msg(out.n_taps == known[i].taps, "%s has %d taps", def->name, out.n_taps);
        graph_free(g);
    }
}
END_TEST

/* Each stage but the stem gives half as many pixels as the one before, or as many; its two taps have the
 * same shape, and the last one is what the features are made of. */
START_TEST(taps_are_the_stages)
{
    for (size_t i = 0; i < model_registry_len; i++) {
        const struct model_def *def = &model_registry[i];
        struct model_outputs out;
        struct graph *g = build(def, def->facts->image_size, 10, &out);

        for (int k = 0; k < out.n_taps; k++) {
            const struct shape *s = graph_shape(g, out.taps[k]);
            int64_t before = k ? graph_shape(g, out.taps[k - 1])->dim[2] : s->dim[2];

            ck_assert_msg(shape_equal(s, graph_shape(g, out.preact_taps[k])), "%s, tap %d",
                          def->name, k);
            ck_assert_msg(s->dim[2] == before || 2 * s->dim[2] == before, "%s, tap %d: %lld pixels",
                          def->name, k, (long long)s->dim[2]);
        }
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
    struct graph *g = build(model_find("resnet8x4", NULL), 32, 10, &out);

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

START_TEST(every_model_compiles_for_other_sizes_and_classes)
{
    for (size_t i = 0; i < model_registry_len; i++) {
        struct error err;
        struct backend *b = backend_open("ref", 1, &err);
        struct flat flat = {0};
        struct model_outputs out;
        struct graph *g = build(&model_registry[i], 64, 7, &out);
        struct plan *p;

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
    ck_assert_double_eq_tol(deviation(ROLE_LINEAR_SMALL, shape2(100, 64), 64), 1e-4, 5e-6);
    ck_assert_double_eq(deviation(ROLE_ZERO_BIAS, shape1(8), 64), 0);
    ck_assert_double_eq(deviation(ROLE_BN_GAMMA, shape1(8), 1), 1);
    ck_assert_double_eq(deviation(ROLE_BN_BETA, shape1(8), 1), 0);
}
END_TEST

static enum param_role role_of(const struct graph *g, const char *name)
{
    value_id v = graph_find(g, name);

    ck_assert_msg(v != NO_VALUE, "no %s", name);
    return g->values.at[v].role;
}

/* Paper.md 3.2, and 1.7 for what the reference's projector does to its student. */
START_TEST(classifiers_start_as_their_family_does)
{
    struct model_outputs out;
    struct graph *g = build(model_find("wrn_16_1", NULL), 32, 10, &out);

    ck_assert_int_eq(role_of(g, "fc.weight"), ROLE_LINEAR_WEIGHT);
    ck_assert_int_eq(role_of(g, "fc.bias"), ROLE_ZERO_BIAS);
    projector_trap(g, true);
    ck_assert_int_eq(role_of(g, "fc.weight"), ROLE_LINEAR_SMALL);
    ck_assert_int_eq(role_of(g, "fc.bias"), ROLE_LINEAR_SMALL);
    ck_assert_int_eq(role_of(g, "conv1.weight"), ROLE_CONV_WEIGHT);
    graph_free(g);
    g = build(model_find("resnet8", NULL), 32, 10, &out);
    ck_assert_int_eq(role_of(g, "fc.bias"), ROLE_BIAS);
    projector_trap(g, false);
    ck_assert_int_eq(role_of(g, "fc.weight"), ROLE_LINEAR_WEIGHT);
    ck_assert_int_eq(role_of(g, "fc.bias"), ROLE_ZERO_BIAS);
    graph_free(g);
}
END_TEST

START_TEST(an_unknown_model_is_named_with_those_that_are_known)
{
    struct error err;

    ck_assert_error(model_find("resnet21", &err), err, "resnet21");
    ck_assert_ptr_nonnull(strstr(err.msg, "resnet20"));
}
END_TEST

UNIT_MAIN(every_model_has_its_number_of_parameters, taps_are_the_stages,
          names_are_those_of_the_state_dict, every_model_compiles_for_other_sizes_and_classes,
          first_values_have_their_spread, classifiers_start_as_their_family_does,
          an_unknown_model_is_named_with_those_that_are_known)
