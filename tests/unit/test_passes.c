/* The passes as text in, text out: the dump of a small graph before, and after each of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/engine/ops/ops.h"
#include "worker/engine/passes/compile.h"

static value_id constant(struct graph *g, const char *name, struct shape s, float value)
{
    size_t n = (size_t)shape_count(&s);
    float *data = NEW_ARRAY(float, n);

    for (size_t i = 0; i < n; i++)
        data[i] = value;
    return graph_const(g, name, s, data);
}

static value_id layer(struct graph *g, const char *name, value_id x)
{
    static const char *const parts[] = {"gamma", "beta", "mean", "var"};
    char full[32];
    value_id norm[4], w;

    snprintf(full, sizeof(full), "%s.w", name);
    w = constant(g, full, shape4(2, 2, 3, 3), 1);
    for (int i = 0; i < 4; i++) {
        snprintf(full, sizeof(full), "%s.%s", name, parts[i]);
        norm[i] = constant(g, full, shape1(2), (float)(i + 1));
    }
    return g_batch_norm(g, name, g_conv(g, name, x, w, NO_VALUE, 1, 1, 1), norm[0], norm[1],
                        norm[2], norm[3]);
}

/* A residual block of a frozen net. */
static struct graph *frozen(void)
{
    struct graph *g = graph_new();
    value_id x = graph_input(g, "x", DT_REAL, shape4(1, 2, 4, 4));
    value_id y = layer(g, "b", g_relu(g, layer(g, "a", x)));

    graph_mark_output(g, g_relu(g, g_add(g, y, x)), "y");
    return g;
}

/* The same in training, with gradients of the weights, and something that nobody needs. */
static struct graph *training(void)
{
    struct graph *g = graph_new();
    value_id x = graph_input(g, "x", DT_REAL, shape4(2, 16, 4, 4)), y;
    value_id w = graph_param(g, "w", ROLE_CONV_WEIGHT, shape4(16, 16, 1, 1));
    value_id gamma = graph_param(g, "gamma", ROLE_BN_GAMMA, shape1(16));
    value_id beta = graph_param(g, "beta", ROLE_BN_BETA, shape1(16));

    graph_want_grad(g, w);
    graph_want_grad(g, gamma);
    y = g_batch_norm_train(g, "bn", g_conv(g, "conv", x, w, NO_VALUE, 1, 0, 1), gamma, beta);
    y = g_relu(g, g_add(g, y, x));
    g_exp(g, y);
    graph_mark_output(g, y, "y");
    graph_seed(g, y, graph_input(g, "up", DT_REAL, shape4(2, 16, 4, 4)));
    return g;
}

/* The text after a pass; free(). */
static char *after(struct graph *take_graph, const char *back_end, const char *pass)
{
    struct error err;
    struct backend *b = backend_open(back_end, 1, &err);
    struct flat flat = {0};
    char *text;

    ck_assert_msg(b != NULL, "%s", err.msg);
    text = compile_dump(take_graph, &(struct compile_options){.backend = b, .flat = &flat}, pass,
                        &err);
    ck_assert_msg(text != NULL, "%s", err.msg);
    flat_free(&flat);
    backend_close(b);
    return text;
}

static void expect(struct graph *take_graph, const char *pass, const char *want)
{
    char *got = after(take_graph, "ref", pass);

    ck_assert_msg(strcmp(got, want) == 0, "after %s:\n%sinstead of\n%s", pass, got, want);
    free(got);
}

START_TEST(fold_bn_makes_convolutions_with_a_bias)
{
    expect(frozen(), "prune",
           "%6 = Conv(x, a.w) {pads=[1,1,1,1]} [1,2,4,4] a\n"
           "%7 = BatchNormalization(%6, a.gamma, a.beta, a.mean, a.var) [1,2,4,4] a\n"
           "%8 = Relu(%7) [1,2,4,4]\n"
           "%14 = Conv(%8, b.w) {pads=[1,1,1,1]} [1,2,4,4] b\n"
           "%15 = BatchNormalization(%14, b.gamma, b.beta, b.mean, b.var) [1,2,4,4] b\n"
           "%16 = Add(%15, x) [1,2,4,4]\n"
           "%17 = Relu(%16) [1,2,4,4] -> y\n");
    expect(frozen(), "fold_bn",
           "%7 = Conv(x, %18, %19) {pads=[1,1,1,1]} [1,2,4,4] a\n"
           "%8 = Relu(%7) [1,2,4,4]\n"
           "%15 = Conv(%8, %20, %21) {pads=[1,1,1,1]} [1,2,4,4] b\n"
           "%16 = Add(%15, x) [1,2,4,4]\n"
           "%17 = Relu(%16) [1,2,4,4] -> y\n");
}
END_TEST

START_TEST(fuse_leaves_one_node_a_layer)
{
    expect(frozen(), "fuse",
           "%8 = FusedConv(x, %18, %19) {pads=[1,1,1,1] relu=1} [1,2,4,4]\n"
           "%17 = FusedConv(%8, %20, %21, x) {pads=[1,1,1,1] relu=1} [1,2,4,4] -> y\n");
}
END_TEST

START_TEST(autodiff_appends_and_prune_removes)
{
    const char *forward = "%4 = Conv(x, w) [2,16,4,4] conv\n"
                          "%5, %6, %7 = BatchNormTrain(%4, gamma, beta) [2,16,4,4] bn\n"
                          "%8 = Add(%5, x) [2,16,4,4]\n"
                          "%9 = Relu(%8) [2,16,4,4] -> y\n";
    const char *unused = "%10 = Exp(%9) [2,16,4,4]\n";
    const char *backward = "%12 = ReluGrad(%9, up) [2,16,4,4]\n"
                           "%13, %14, %15 = BatchNormTrainGrad(%4, gamma, %6, %7, %12) [2,16,4,4]\n"
                           "%16 = ConvWeightGrad(x, %13) {input=[4,4] kernel=[1,1]} [16,16,1,1]\n"
                           "%16 -> gradient of w\n"
                           "%14 -> gradient of gamma\n";
    char *whole = str_fmt("%s%s%s", forward, unused, backward);
    char *pruned = str_fmt("%s%s", forward, backward);

    expect(training(), "autodiff", whole);
    expect(training(), "prune", pruned);
    free(whole);
    free(pruned);
}
END_TEST

START_TEST(fuse_lets_a_training_batch_norm_add_and_clamp)
{
    expect(training(), "fuse",
           "%4 = Conv(x, w) [2,16,4,4] conv\n"
           "%9, %6, %7 = FusedBatchNormTrain(%4, gamma, beta, x) {relu=1} [2,16,4,4] bn -> y\n"
           "%12 = ReluGrad(%9, up) [2,16,4,4]\n"
           "%13, %14, %15 = BatchNormTrainGrad(%4, gamma, %6, %7, %12) [2,16,4,4]\n"
           "%16 = ConvWeightGrad(x, %13) {input=[4,4] kernel=[1,1]} [16,16,1,1]\n"
           "%16 -> gradient of w\n"
           "%14 -> gradient of gamma\n");
}
END_TEST

/* What a pattern needs but somebody else reads, or the caller wants, must stay. */
START_TEST(what_is_read_elsewhere_is_not_fused)
{
    struct graph *g = frozen();
    char *text;

    graph_mark_output(g, graph_find(g, "y") - 1, "sum"); /* what the last Relu reads */
    text = after(g, "ref", "fuse");
    ck_assert_msg(strstr(text, "-> sum\n") && strstr(text, "Relu(%16)"), "%s", text);
    free(text);
}
END_TEST

static int count(const char *text, const char *what)
{
    int n = 0;

    for (const char *p = text; (p = strstr(p, what)); p++)
        n++;
    return n;
}

START_TEST(layout_reorders_a_value_once_and_gives_outputs_back_plain)
{
    char *plain = after(training(), "ref", "layout"), *blocked = after(training(), "cpu", "layout");
    const char *y = strstr(blocked, " -> y\n");

    ck_assert_int_eq(count(plain, "Reorder"), 0);
    ck_assert_msg(count(blocked, "Reorder(x)") == 1 && count(blocked, "Reorder(up)") == 1, "%s",
                  blocked);
    while (y > blocked && y[-1] != '\n')
        y--;
    ck_assert_msg(count(y, "= Reorder(%9)") == 1 && strstr(y, "Reorder") < strchr(y, '\n'), "%s",
                  blocked);
    free(plain);
    free(blocked);
}
END_TEST

START_TEST(place_describes_steps_memory_and_the_peak)
{
    struct error err;
    struct backend *b = backend_open("ref", 1, &err);
    struct plan *p = compile(frozen(), &(struct compile_options){.backend = b}, &err);
    struct buf text = buf_new(0);

    ck_assert_msg(p != NULL, "%s", err.msg);
    plan_describe(p, &text);
    ck_assert_uint_eq(p->steps.n, 2);
    /* Only the middle value lives in the arena. */
    ck_assert_uint_eq(p->arena_bytes, 2 * 16 * sizeof(float));
    ck_assert_msg(strstr(buf_text(&text), "peak: ") && strstr(buf_text(&text), "FusedConv") &&
                      strstr(buf_text(&text), "output y [1,2,4,4]"),
                  "%s", buf_text(&text));
    buf_free(&text);
    plan_free(p);
    backend_close(b);
}
END_TEST

UNIT_MAIN(fold_bn_makes_convolutions_with_a_bias, fuse_leaves_one_node_a_layer,
          autodiff_appends_and_prune_removes, fuse_lets_a_training_batch_norm_add_and_clamp,
          what_is_read_elsewhere_is_not_fused,
          layout_reorders_a_value_once_and_gives_outputs_back_plain,
          place_describes_steps_memory_and_the_peak)
