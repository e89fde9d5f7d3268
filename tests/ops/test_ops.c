/* Every case of cases.c: its gradient against finite differences in double, and the oneDNN back end
 * against the reference, forward and backward. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/rng.h"
#include "tests/ops/cases.h"
#include "tests/ops/rig.h"
#include "tests/unit/unit.h"
#include "worker/engine/ops/ops.h"

/* The case's graph with output "y"; with gradients of sum(y * up) when asked for. */
static struct graph *build(const struct op_case *c, bool with_grad)
{
    struct graph *g = graph_new();
    value_id y = c->build(g);

    ck_assert_msg(y != NO_VALUE, "%s: %s", c->name, g->err.msg);
    if (with_grad && !c->no_grad)
        graph_seed(g, y, graph_input(g, "up", DT_REAL, *graph_shape(g, y)));
    else
        g->wants.n = 0;
    graph_mark_output(g, y, "y");
    return g;
}

/* sum(y * up), with the forward plan's own inputs. */
static double objective(struct rig *forward, const struct rig *grad)
{
    int y = plan_io_find(forward->plan, "y"), up = plan_io_find(grad->plan, "up");
    double sum = 0;

    rig_run(forward);
    for (size_t i = 0; i < rig_count(forward, y); i++)
        sum += rig_get(forward, y, i) * rig_get(grad, up, i);
    return sum;
}

static void move(struct rig *r, int in, const double *x, const double *d, double step)
{
    for (size_t i = 0; i < rig_count(r, in); i++)
        rig_set(r, in, i, x[i] + step * d[i]);
}

/* The derivative along d by differences, as near to `wanted` as one of the steps gives it: a step may cross
 * a kink (of ReLU, of a maximum), and then a smaller one does not. A wrong gradient is far from all. */
static double differences(struct rig *forward, const struct rig *grad, int in, const double *x,
                          const double *d, double wanted)
{
    static const double steps[] = {1e-5, 1e-6, 1e-7};
    double best = INFINITY;

    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        double above, below, slope;

        move(forward, in, x, d, steps[i]);
        above = objective(forward, grad);
        move(forward, in, x, d, -steps[i]);
        below = objective(forward, grad);
        slope = (above - below) / (2 * steps[i]);
        if (fabs(slope - wanted) < fabs(best - wanted))
            best = slope;
    }
    move(forward, in, x, d, 0);
    return best;
}

/* The derivative along a random direction of one input, both ways. */
static void check_direction(const struct op_case *c, struct rig *forward, const struct rig *grad,
                            int in, uint64_t seed)
{
    char *name = forward->plan->io.at[in].name, full[64];
    size_t n = rig_count(forward, in);
    double *x = NEW_ARRAY(double, n), *d = NEW_ARRAY(double, n);
    double analytic = 0, scale = 0, numeric;
    int io;

    snprintf(full, sizeof(full), "grad/%s", name);
    io = plan_io_find(grad->plan, full);
    ck_assert_msg(io >= 0, "%s: no %s", c->name, full);
    for (size_t i = 0; i < n; i++) {
        x[i] = rig_get(forward, in, i);
        d[i] = 2 * rng_uniform(seed, i) - 1;
        analytic += d[i] * rig_get(grad, io, i);
        scale += fabs(d[i] * rig_get(grad, io, i));
    }
    numeric = differences(forward, grad, in, x, d, analytic);
    ck_assert_msg(fabs(numeric - analytic) <= 1e-6 * (scale + 1), "%s, %s: %.12g, not %.12g",
                  c->name, full, analytic, numeric);
    free(x);
    free(d);
}

START_TEST(gradients_are_those_of_finite_differences)
{
    for (size_t i = 0; i < n_op_cases; i++) {
        const struct op_case *c = &op_cases[i];
        struct rig forward, grad;

        if (c->no_grad)
            continue;
        rig_open(&forward, build(c, false), "ref64");
        rig_open(&grad, build(c, true), "ref64");
        rig_fill(&forward, unit_seed());
        rig_fill(&grad, unit_seed());
        rig_run(&grad);
        for (size_t io = 0; io < forward.plan->io.n; io++)
            if (!forward.plan->io.at[io].is_output && forward.plan->io.at[io].dtype == DT_REAL)
                for (uint64_t direction = 0; direction < 3; direction++)
                    check_direction(c, &forward, &grad, (int)io, rng_key(unit_seed(), direction));
        rig_close(&forward);
        rig_close(&grad);
    }
}
END_TEST

static void compare(const struct op_case *c, const struct rig *got, const struct rig *want)
{
    for (size_t io = 0; io < want->plan->io.n; io++) {
        const char *name = want->plan->io.at[io].name;
        int other = plan_io_find(got->plan, name);
        double largest = 0;

        if (!want->plan->io.at[io].is_output)
            continue;
        ck_assert_msg(other >= 0, "%s: no %s", c->name, name);
        for (size_t i = 0; i < rig_count(want, (int)io); i++)
            largest = fmax(largest, fabs(rig_get(want, (int)io, i)));
        for (size_t i = 0; i < rig_count(want, (int)io); i++) {
            double a = rig_get(got, other, i), b = rig_get(want, (int)io, i);

            ck_assert_msg(fabs(a - b) <= 2e-5 * (largest + 1e-3), "%s, %s, %s[%zu]: %.9g, not %.9g",
                          c->name, got->backend->def->name, name, i, a, b);
        }
    }
}

START_TEST(back_ends_agree)
{
    static const struct {
        const char *name;
        enum convolution convolution;
    } others[] = {{"ref", CONVOLUTION_AUTO},
                  {"cpu", CONVOLUTION_AUTO},
                  {"cpu", CONVOLUTION_DIRECT},
                  {"cpu", CONVOLUTION_WINOGRAD}};

    for (size_t i = 0; i < n_op_cases; i++) {
        struct rig want;

        rig_open(&want, build(&op_cases[i], true), "ref64");
        rig_fill(&want, unit_seed());
        rig_run(&want);
        for (size_t k = 0; k < ARRAY_LEN(others); k++) {
            struct graph *g = build(&op_cases[i], true);
            struct rig got;

            g->convolution = others[k].convolution;
            rig_open(&got, g, others[k].name);
            rig_fill(&got, unit_seed());
            rig_run(&got);
            rig_run(&got); /* a second run sees the arena as the first left it */
            compare(&op_cases[i], &got, &want);
            rig_close(&got);
        }
        rig_close(&want);
    }
}
END_TEST

static bool all_by(const struct plan *p, const char *const *impl, size_t n)
{
    for (size_t i = 0; i < p->steps.n; i++) {
        bool found = false;

        for (size_t k = 0; k < n && !found; k++)
            found = strcmp(p->steps.at[i].kernel->impl, impl[k]) == 0;
        if (!found && !strstr(p->steps.at[i].op, "Reorder"))
            return false;
    }
    return true;
}

/* What kernels of our own compute, all of it in one graph, is the same with any number of threads. */
START_TEST(threads_do_not_show_in_our_kernels)
{
    static const char *const ours[] = {"depthwise", "groups of pixels", "panels"};
    size_t checked = 0;

    for (size_t i = 0; i < n_op_cases; i++) {
        struct rig one, three;

        rig_open(&one, build(&op_cases[i], true), "cpu");
        if (all_by(one.plan, ours, ARRAY_LEN(ours))) {
            checked++;
            rig_open_threads(&three, build(&op_cases[i], true), "cpu", 3);
            rig_fill(&one, unit_seed());
            rig_fill(&three, unit_seed());
            rig_run(&one);
            rig_run(&three);
            for (size_t io = 0; io < one.plan->io.n; io++)
                ck_assert_msg(memcmp(one.plan->io.at[io].bound, three.plan->io.at[io].bound,
                                     one.plan->io.at[io].bytes) == 0,
                              "%s: %s", op_cases[i].name, one.plan->io.at[io].name);
            rig_close(&three);
        }
        rig_close(&one);
    }
    ck_assert_uint_ge(checked, 10);
}
END_TEST

/* A forward convolution of training is the exact sum, rounded once. */
static value_id deep_conv(struct graph *g, int64_t channels, int64_t kernel, int64_t stride)
{
    value_id x = graph_input(g, "x", DT_REAL, shape4(2, channels, 12, 12));
    value_id w = graph_input(g, "w", DT_REAL, shape4(32, channels, kernel, kernel));

    return g_conv(g, "c", x, w, NO_VALUE, stride, kernel / 2, 1);
}

static void open_deep_conv(struct rig *r, const char *backend, int64_t channels, int64_t kernel,
                           int64_t stride)
{
    struct graph *g = graph_new();

    graph_mark_output(g, deep_conv(g, channels, kernel, stride), "y");
    rig_open(r, g, backend);
    rig_fill(r, unit_seed());
    rig_run(r);
}

START_TEST(convolutions_of_training_are_rounded_once)
{
    static const struct {
        int64_t channels, kernel, stride;
    } of[] = {{64, 3, 1}, {64, 3, 2}, {64, 1, 1}, {3, 3, 1}};

    for (size_t k = 0; k < ARRAY_LEN(of); k++) {
        struct rig got, want;
        int y;

        open_deep_conv(&got, "cpu", of[k].channels, of[k].kernel, of[k].stride);
        open_deep_conv(&want, "ref64", of[k].channels, of[k].kernel, of[k].stride);
        y = rig_io(&want, "y");
        for (size_t i = 0; i < rig_count(&want, y); i++) {
            double exact = rig_get(&want, y, i), half_unit = fabs(exact) * 0x1p-24;

            /* Beside the rounding to float, that of some hundred sums in double. */
            ck_assert_msg(fabs(rig_get(&got, y, i) - exact) <= half_unit + 1e-11,
                          "case %zu, seed %llu, y[%zu]: %.12g, not %.12g", k,
                          (unsigned long long)unit_seed(), i, rig_get(&got, y, i), exact);
        }
        rig_close(&got);
        rig_close(&want);
    }
}
END_TEST

/* Of the first step that is a convolution. */
static const char *conv_kernel_of(const struct plan *p)
{
    for (size_t i = 0; i < p->steps.n; i++)
        if (strstr(p->steps.at[i].op, "Conv"))
            return p->steps.at[i].kernel->impl;
    ck_abort_msg("no convolution");
}

/* A small image is not worth the tiles, and is computed by them all the same when that is asked for. */
START_TEST(convolutions_are_computed_as_asked)
{
    static const struct {
        enum convolution asked;
        int64_t size;
        bool winograd;
    } of[] = {{CONVOLUTION_AUTO, 8, true},     {CONVOLUTION_AUTO, 5, false},
              {CONVOLUTION_DIRECT, 8, false},  {CONVOLUTION_DIRECT, 5, false},
              {CONVOLUTION_WINOGRAD, 8, true}, {CONVOLUTION_WINOGRAD, 5, true}};
    struct error err;
    struct backend *cpu = backend_open("cpu", 1, &err);

    for (size_t k = 0; k < ARRAY_LEN(of); k++) {
        struct graph *g = graph_new();
        value_id x = graph_input(g, "x", DT_REAL, shape4(2, 16, of[k].size, of[k].size));
        value_id w = graph_input(g, "w", DT_REAL, shape4(16, 16, 3, 3));
        struct plan *p;

        graph_mark_output(g, g_conv(g, "c", x, w, NO_VALUE, 1, 1, 1), "y");
        p = compile(g, &(struct compile_options){.backend = cpu, .convolution = of[k].asked}, &err);
        ck_assert_msg(p != NULL, "%s", err.msg);
        ck_assert_msg((strstr(conv_kernel_of(p), "winograd") != NULL) == of[k].winograd,
                      "case %zu: %s", k, conv_kernel_of(p));
        plan_free(p);
    }
    backend_close(cpu);
}
END_TEST

/* Every case that goes through bytes, in one form of them or another: no sum is rounded, and what is made of it is on
 * all back ends. */
START_TEST(bytes_agree_to_the_last_bit)
{
    static const struct {
        const char *name;
        int threads;
    } others[] = {{"ref64", 1}, {"cpu", 1}, {"cpu", 3}};
    size_t checked = 0;

    for (size_t i = 0; i < n_op_cases; i++) {
        struct rig want;

        if (strncmp(op_cases[i].name, "quant", 5) != 0)
            continue;
        rig_open(&want, build(&op_cases[i], false), "ref");
        rig_fill(&want, unit_seed());
        rig_run(&want);
        for (size_t k = 0; k < ARRAY_LEN(others); k++) {
            struct rig got;
            int y = rig_io(&want, "y");

            rig_open_threads(&got, build(&op_cases[i], false), others[k].name, others[k].threads);
            rig_fill(&got, unit_seed());
            rig_run(&got);
            for (size_t t = 0; t < rig_count(&want, y); t++)
                ck_assert_msg(rig_get(&got, rig_io(&got, "y"), t) == rig_get(&want, y, t),
                              "%s, %s, %d threads, seed %llu: y[%zu] is %.9g, not %.9g",
                              op_cases[i].name, others[k].name, others[k].threads,
                              (unsigned long long)unit_seed(), t,
                              rig_get(&got, rig_io(&got, "y"), t), rig_get(&want, y, t));
            rig_close(&got);
            checked++;
        }
        rig_close(&want);
    }
    ck_assert_uint_ge(checked, 30);
}
END_TEST

/* Steps of 1, and of 1/2 with a shift. */
START_TEST(bytes_are_rounded_half_to_even_and_saturate)
{
    static const float x[] = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 254.5f, 255.5f, 1e9f, -1e9f};
    static const struct {
        bool is_signed;
        float scale, shift;
        double q[ARRAY_LEN(x)];
    } of[] = {{false, 1, 0, {0, 2, 2, 0, 0, 0, 254, 255, 255, 0}},
              {true, 1, 0, {0, 2, 2, 0, -2, -2, 127, 127, 127, -128}},
              {true, 2, -0.5f, {0, 2, 4, -2, -4, -6, 127, 127, 127, -128}}};
    static const char *const backends[] = {"ref64", "ref", "cpu"};

    for (size_t k = 0; k < ARRAY_LEN(of) * ARRAY_LEN(backends); k++) {
        size_t c = k / ARRAY_LEN(backends);
        const struct quantise_attr attr = {.is_signed = of[c].is_signed, .axis = 1};
        struct graph *g = graph_new();
        float *constants[2] = {NEW_ARRAY(float, 1), NEW_ARRAY(float, 1)};
        value_id in[] = {graph_input(g, "x", DT_REAL, shape4(1, 1, 1, ARRAY_LEN(x))),
                         graph_const(g, "scale", shape1(1), constants[0]),
                         graph_const(g, "shift", shape1(1), constants[1])};
        value_id q = graph_add(g, &op_quantise, "", in, 3, &attr);
        struct rig r;

        *constants[0] = of[c].scale;
        *constants[1] = of[c].shift;
        graph_mark_output(g, graph_add(g, &op_dequantise, "", &q, 1, NULL), "y");
        rig_open(&r, g, backends[k % ARRAY_LEN(backends)]);
        for (size_t i = 0; i < ARRAY_LEN(x); i++)
            rig_set(&r, rig_io(&r, "x"), i, (double)x[i]);
        rig_run(&r);
        for (size_t i = 0; i < ARRAY_LEN(x); i++)
            ck_assert_msg(rig_get(&r, rig_io(&r, "y"), i) == of[c].q[i], "case %zu, %s: %g is %g",
                          c, r.backend->def->name, (double)x[i], rig_get(&r, rig_io(&r, "y"), i));
        rig_close(&r);
    }
}
END_TEST

START_TEST(every_operator_has_a_case)
{
    struct error err;
    struct backend *cpu = backend_open("cpu", 1, &err);
    bool seen[100] = {false};

    for (size_t i = 0; i < n_op_cases; i++) {
        struct compile_options options = {.backend = cpu};
        char *text = compile_dump(build(&op_cases[i], true), &options, "layout", &err);
        char *before = compile_dump(build(&op_cases[i], true), &options, "autodiff", &err);

        for (size_t k = 0; k < op_registry_len; k++) {
            char call[64];

            snprintf(call, sizeof(call), " = %s(", op_registry[k]->name);
            seen[k] |= strstr(text, call) || strstr(before, call);
        }
        free(text);
        free(before);
    }
    for (size_t k = 0; k < op_registry_len; k++)
        ck_assert_msg(seen[k], "no case for %s", op_registry[k]->name);
    backend_close(cpu);
}
END_TEST

/* Builds y from x, and holds y and its gradient (with seeds of 1) against what is wanted of them. */
struct edge {
    const char *what;
    value_id (*build)(struct graph *g, value_id x);
    struct shape shape;
    double x[16], y[16], grad[16];
};

static value_id pool_2x2(struct graph *g, value_id x)
{
    return g_max_pool(g, x, 2, 2, 0);
}

static value_id pool_3x3(struct graph *g, value_id x)
{
    return g_max_pool(g, x, 3, 2, 1);
}

static value_id relu6(struct graph *g, value_id x)
{
    return g_clip(g, x, 0, 6);
}

/* Where finite differences cannot look. */
static const struct edge edges[] = {
    {"of equal maxima the first takes the gradient",
     pool_2x2,
     {4, {1, 1, 4, 4}},
     {7, 7, 1, 2, 7, 7, 3, 3, 0, 0, -1, -1, 0, 0, -1, -1},
     {7, 3, 0, -1},
     {1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0}},
    {"padding is no maximum, and a pixel takes the gradients of all its windows",
     pool_3x3,
     {4, {1, 1, 3, 3}},
     {-5, -5, -5, -5, -1, -5, -5, -5, -5},
     {-1, -1, -1, -1},
     {0, 0, 0, 0, 4, 0, 0, 0, 0}},
    {"no gradient at either limit of ReLU6",
     relu6,
     {4, {1, 1, 1, 6}},
     {-1, 0, 1, 5, 6, 7},
     {0, 0, 1, 5, 6, 6},
     {0, 0, 1, 1, 0, 0}},
};

static struct graph *edge_graph(const struct edge *e)
{
    struct graph *g = graph_new();
    value_id x = graph_input(g, "x", DT_REAL, e->shape), y = e->build(g, x);

    graph_want_grad(g, x);
    graph_seed(g, y, graph_input(g, "up", DT_REAL, *graph_shape(g, y)));
    graph_mark_output(g, y, "y");
    return g;
}

static void check_edge(const struct edge *e, const char *backend)
{
    struct rig r;
    int x, y, grad;

    rig_open(&r, edge_graph(e), backend);
    x = rig_io(&r, "x");
    y = rig_io(&r, "y");
    grad = rig_io(&r, "grad/x");
    for (size_t i = 0; i < rig_count(&r, y); i++)
        rig_set(&r, rig_io(&r, "up"), i, 1);
    for (size_t i = 0; i < rig_count(&r, x); i++)
        rig_set(&r, x, i, e->x[i]);
    rig_run(&r);
    for (size_t i = 0; i < rig_count(&r, y); i++)
        ck_assert_msg(rig_get(&r, y, i) == e->y[i], "%s, %s: y[%zu]", e->what, backend, i);
    for (size_t i = 0; i < rig_count(&r, x); i++)
        ck_assert_msg(rig_get(&r, grad, i) == e->grad[i], "%s, %s: gradient %zu is %g", e->what,
                      backend, i, rig_get(&r, grad, i));
    rig_close(&r);
}

START_TEST(edges_are_as_the_papers_code_has_them)
{
    static const char *const backends[] = {"ref64", "ref", "cpu"};

    for (size_t i = 0; i < ARRAY_LEN(edges); i++)
        for (size_t k = 0; k < ARRAY_LEN(backends); k++)
            check_edge(&edges[i], backends[k]);
}
END_TEST

static value_id too_padded(struct graph *g, value_id x)
{
    return g_max_pool(g, x, 2, 1, 2);
}

static value_id too_large(struct graph *g, value_id x)
{
    return g_average_pool(g, x, 7, 1, 1);
}

static value_id no_pixels(struct graph *g, value_id x)
{
    return g_resize_nearest(g, x, 0, 4);
}

static value_id unlike(struct graph *g, value_id x)
{
    return g_concat(g, 1, (const value_id[]){x, g_slice(g, x, 2, 0, 3)}, 2);
}

static value_id beyond(struct graph *g, value_id x)
{
    return g_slice(g, x, 1, 4, 7);
}

static value_id no_axis(struct graph *g, value_id x)
{
    return g_pad_axis(g, x, 4, 1, 1);
}

static value_id uneven_split(struct graph *g, value_id x)
{
    value_id out[2];

    g_split(g, x, 1, (const int64_t[]){2, 3}, 2, out);
    return out[0];
}

static value_id uneven_shuffle(struct graph *g, value_id x)
{
    return g_channel_shuffle(g, x, 4);
}

static value_id twice(struct graph *g, value_id x)
{
    return g_transpose(g, x, (const int64_t[]){0, 1, 1, 3});
}

static value_id shrinking(struct graph *g, value_id x)
{
    return g_broadcast(g, x, shape4(2, 1, 4, 4));
}

static value_id other_rank(struct graph *g, value_id x)
{
    return g_sum_to(g, x, shape2(2, 6));
}

static value_id upside_down(struct graph *g, value_id x)
{
    return g_clip(g, x, 1, 0);
}

/* A definition that cannot be says what is wrong with it. */
START_TEST(impossible_definitions_are_refused)
{
    static const struct {
        value_id (*build)(struct graph *g, value_id x);
        const char *message;
    } cases[] = {
        {too_padded, "MaxPool : kernel 2, stride 1, pads 2 and 2; expected"},
        {too_large, "AveragePool : the window is larger than the padded input"},
        {no_pixels, "ResizeNearest : a size of 0 by 4 pixels"},
        {unlike, "Concat : input 1 has shape [2,6,3,4]; expected [2,6,4,4]"},
        {beyond, "Slice : 4 up to 7 is no part of axis 1, which has 6"},
        {no_axis, "PadAxis : input 0 has shape [2,6,4,4]; it has no axis 4"},
        {uneven_split, "Split into 5 of 6 along axis 1"},
        {uneven_shuffle, "ChannelShuffle : 6 channels do not make 4 groups"},
        {twice, "Transpose : perm does not name each of the 4 axes once"},
        {shrinking, "Broadcast : [2,6,4,4] is not [2,1,4,4] with dimensions of 1"},
        {other_rank, "SumTo of [2,6,4,4] to [2,6]: the ranks differ"},
        {upside_down, "Clip : min 1 is above max 0"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct graph *g = graph_new();
        struct error err = {0};

        cases[i].build(g, graph_input(g, "x", DT_REAL, shape4(2, 6, 4, 4)));
        ck_assert(!graph_ok(g, &err));
        ck_assert_msg(strstr(err.msg, cases[i].message) != NULL, "%s, not %s", err.msg,
                      cases[i].message);
        graph_free(g);
    }
}
END_TEST

UNIT_MAIN(gradients_are_those_of_finite_differences, back_ends_agree,
          threads_do_not_show_in_our_kernels, convolutions_of_training_are_rounded_once,
          convolutions_are_computed_as_asked, bytes_agree_to_the_last_bit,
          bytes_are_rounded_half_to_even_and_saturate, every_operator_has_a_case,
          edges_are_as_the_papers_code_has_them, impossible_definitions_are_refused)
