/* The passes as text in, text out: tests/unit/passes holds the dumps of small graphs as they are defined, and
 * after each of them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/engine/ops/ops.h"
#include "worker/engine/passes/compile.h"
#include "worker/losses/loss.h"
#include "worker/models/net.h"

static value_id constant(struct graph *g, const char *name, struct shape s, float value)
{
    size_t n = (size_t)shape_count(&s);
    float *data = NEW_ARRAY(float, n);

    for (size_t i = 0; i < n; i++)
        data[i] = value;
    return graph_const(g, name, s, data);
}

static value_id norm(struct graph *g, const char *name, value_id x)
{
    static const char *const parts[] = {"gamma", "beta", "mean", "var"};
    int64_t channels = graph_shape(g, x)->dim[1];
    value_id part[4];
    char full[32];

    for (int i = 0; i < 4; i++) {
        snprintf(full, sizeof(full), "%s.%s", name, parts[i]);
        part[i] = constant(g, full, shape1(channels), (float)(i + 1));
    }
    return g_batch_norm(g, name, x, part[0], part[1], part[2], part[3]);
}

static value_id conv(struct graph *g, const char *name, value_id x, int64_t channels,
                     int64_t kernel, int64_t stride)
{
    char full[32];

    snprintf(full, sizeof(full), "%s.w", name);
    return g_conv(g, name, x,
                  constant(g, full, shape4(channels, graph_shape(g, x)->dim[1], kernel, kernel), 1),
                  NO_VALUE, stride, kernel / 2, 1);
}

static value_id layer(struct graph *g, const char *name, value_id x)
{
    return norm(g, name, conv(g, name, x, 2, 3, 1));
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

/* A frozen net: a first layer, a block with a shortcut, one without that is tapped, and one whose batch norm comes
 * first. Bytes go from convolution to convolution, and as a residual. */
static struct graph *blocks(void)
{
    struct graph *g = graph_new();
    value_id x = graph_input(g, "x", DT_REAL, shape4(1, 3, 8, 8)), y, side;

    x = g_relu(g, norm(g, "stem", conv(g, "stem", x, 16, 3, 1)));
    y = g_relu(g, norm(g, "a1", conv(g, "a1", x, 32, 3, 2)));
    side = norm(g, "as", conv(g, "as", x, 32, 1, 2));
    x = g_relu(g, g_add(g, norm(g, "a2", conv(g, "a2", y, 32, 3, 1)), side));
    y = g_relu(g, norm(g, "b1", conv(g, "b1", x, 32, 3, 1)));
    x = g_relu(g, g_add(g, norm(g, "b2", conv(g, "b2", y, 32, 3, 1)), x));
    graph_mark_output(g, x, "tap");
    y = conv(g, "c1", g_relu(g, norm(g, "c0", x)), 32, 3, 1);
    graph_mark_output(g, g_global_average_pool(g, g_add(g, y, x)), "y");
    return g;
}

/* In training, with gradients of the weights, and something that nobody needs. */
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

/* Two layers of a block in training whose residual is a convolution of its own. */
static struct graph *shortcut(void)
{
    struct graph *g = graph_new();
    const struct net net = {.g = g, .training = true, .prefix = ""};
    value_id x = graph_input(g, "x", DT_REAL, shape4(2, 16, 4, 4)), y, side;

    y = g_relu(g, net_batch_norm(&net, "bn1", net_conv(&net, "conv1", x, 32, 3, 2, 1)));
    y = net_batch_norm(&net, "bn2", net_conv(&net, "conv2", y, 32, 3, 1, 1));
    side = net_batch_norm(&net, "bn3", net_conv(&net, "conv3", x, 32, 1, 2, 0));
    y = g_relu(g, g_add(g, y, side));
    graph_mark_output(g, y, "y");
    graph_seed(g, y, graph_input(g, "up", DT_REAL, shape4(2, 32, 2, 2)));
    return g;
}

/* A value whose parts go separate ways, as in a ShuffleNet. */
static struct graph *split(void)
{
    struct graph *g = graph_new();
    value_id x = graph_input(g, "x", DT_REAL, shape4(2, 32, 4, 4)), part[2];

    graph_want_grad(g, x);
    g_split(g, g_relu(g, x), 1, (const int64_t[]){16, 16}, 2, part);
    part[1] = g_clip(g, part[1], 0, 6);
    x = g_channel_shuffle(g, g_concat(g, 1, part, 2), 2);
    graph_mark_output(g, x, "y");
    graph_seed(g, x, graph_input(g, "up", DT_REAL, shape4(2, 32, 4, 4)));
    return g;
}

/* Losses on given features and logits, and their gradients. */
static struct graph *losses(void)
{
    static const struct loss_def *const some[] = {&loss_ce, &loss_kd, &loss_nd};
    const struct loss_params params = {.temperature = 4};
    struct graph *g = graph_new();
    value_id features = graph_input(g, "features", DT_REAL, shape2(4, 8));
    value_id logits = graph_input(g, "logits", DT_REAL, shape2(4, 3));
    const struct loss_args a = {
        .features = features,
        .student.logits = logits,
        .labels = graph_input(g, "labels", DT_INDEX, shape1(4)),
        .teacher.features = graph_input(g, "teacher_features", DT_REAL, shape2(4, 8)),
        .teacher.logits = graph_input(g, "teacher_logits", DT_REAL, shape2(4, 3)),
        .directions = graph_input(g, "directions", DT_REAL, shape2(3, 8)),
        .params = &params,
    };
    value_id seed = graph_input(g, "seed", DT_REAL, shape1(4));

    graph_want_grad(g, features);
    graph_want_grad(g, logits);
    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        size_t first = g->nodes.n;
        value_id loss = some[i]->build(g, &a);

        graph_name_layer(g, first, some[i]->name);
        graph_mark_output(g, loss, some[i]->name);
        graph_seed(g, loss, seed);
    }
    return g;
}

/* A back end that likes images in blocks, weights in its own way, and has no kernels: its rules do not
 * depend on the processor. */
enum {
    BLOCKED = 1,
    WEIGHTS = 2
};

static bool in_blocks(struct backend *b, const struct graph *g, const struct node *n, int *in,
                      int *out, struct error *err)
{
    (void)b;
    (void)err;
    for (int k = 0; k < n->n_in + n->n_out; k++) {
        value_id v = k < n->n_in ? n->in[k] : n->out[k - n->n_in];
        const struct shape *s = graph_shape(g, v);
        bool weights = g->values.at[v].kind == VALUE_PARAM || g->values.at[v].kind == VALUE_CONST ||
                       (n->op == &op_conv_weight_grad && k == n->n_in);

        *(k < n->n_in ? &in[k] : &out[k - n->n_in]) = s->rank != 4          ? LAYOUT_PLAIN
                                                      : weights             ? WEIGHTS
                                                      : s->dim[1] % 16 == 0 ? BLOCKED
                                                                            : LAYOUT_PLAIN;
    }
    return true;
}

static const char *block_name(struct backend *b, int layout)
{
    static const char *const names[] = {"plain", "blocked", "weights"};

    (void)b;
    return names[layout];
}

static const struct backend_def blocks_def = {.layouts = in_blocks, .layout_name = block_name};

/* The text after a pass; free(). */
static char *after_in(struct graph *take_graph, struct backend *b, enum precision precision,
                      const char *pass)
{
    struct error err;
    struct flat flat = {0};
    const struct compile_options options = {.backend = b, .flat = &flat, .precision = precision};
    char *text = compile_dump(take_graph, &options, pass, &err);

    ck_assert_msg(text != NULL, "%s", err.msg);
    flat_free(&flat);
    return text;
}

static char *after(struct graph *take_graph, struct backend *b, const char *pass)
{
    return after_in(take_graph, b, PRECISION_FLOAT32, pass);
}

/* The graph as it is defined, and after each pass that changes it. */
static char *history(struct graph *(*build)(void), enum precision precision)
{
    struct backend blocks_like = {.def = &blocks_def, .threads = 1};
    struct buf all = buf_new(0);
    struct graph *g = build();
    char *before = graph_dump(g);

    graph_free(g);
    buf_fmt(&all, "== as defined\n%s", before);
    for (size_t i = 0; strcmp(compile_pass(i), "place") != 0; i++) {
        char *text = after_in(build(), &blocks_like, precision, compile_pass(i));
        bool same = strcmp(before, text) == 0;

        buf_fmt(&all, "== %s%s\n%s", compile_pass(i), same ? " changes nothing" : "",
                same ? "" : text);
        free(before);
        before = text;
    }
    free(before);
    return buf_take(&all);
}

static const struct {
    const char *name;
    struct graph *(*build)(void);
    enum precision precision;
} goldens[] = {
    {"frozen", frozen, PRECISION_FLOAT32},     {"training", training, PRECISION_FLOAT32},
    {"shortcut", shortcut, PRECISION_FLOAT32}, {"split", split, PRECISION_FLOAT32},
    {"losses", losses, PRECISION_FLOAT32},     {"observed", blocks, PRECISION_OBSERVED},
    {"bytes", blocks, PRECISION_INT8},
};

/* UPDATE_GOLDEN=1 writes the files anew, to be read before they are committed. */
static void check_golden(const char *name, struct graph *(*build)(void), enum precision precision)
{
    char *path = str_fmt("%s/tests/unit/passes/%s.txt", getenv("srcdir"), name);
    char *got = history(build, precision);
    struct buf want = buf_new(1 << 20);
    struct error err;

    if (getenv("UPDATE_GOLDEN"))
        ck_assert_ok(file_replace(path, got, strlen(got), 0644, &err), err);
    ck_assert_ok(file_read(path, &want, &err), err);
    ck_assert_msg(strcmp(got, buf_text(&want)) == 0, "%s: now it is\n%s", path, got);
    buf_free(&want);
    free(got);
    free(path);
}

START_TEST(every_pass_makes_the_text_that_its_file_says)
{
    for (size_t i = 0; i < ARRAY_LEN(goldens); i++)
        check_golden(goldens[i].name, goldens[i].build, goldens[i].precision);
}
END_TEST

/* What a pattern needs but somebody else reads, or the caller wants, must stay. */
START_TEST(what_is_read_elsewhere_is_not_fused)
{
    struct backend b = {.def = &blocks_def, .threads = 1};
    struct graph *g = frozen();
    char *text;

    graph_mark_output(g, graph_find(g, "y") - 1, "sum"); /* what the last Relu reads */
    text = after(g, &b, "fuse");
    ck_assert_msg(strstr(text, "-> sum\n") && strstr(text, "Relu(%16)"), "%s", text);
    free(text);
}
END_TEST

/* Ranges of another net, or of another form of it, are no ranges. */
START_TEST(ranges_are_as_many_as_were_observed)
{
    static const float ranges[7] = {1, 2, 3, 4, 5, 6, 7};
    struct backend b = {.def = &blocks_def, .threads = 1};
    struct compile_options options = {
        .backend = &b, .precision = PRECISION_INT8, .ranges = ranges, .n_ranges = 7};
    struct error err = {0};
    char *text = compile_dump(blocks(), &options, "quantise", &err);

    ck_assert(!text);
    ck_assert_str_eq(err.msg, "pass quantise: expected 6 ranges, got 7");
    options.n_ranges = 6;
    text = compile_dump(blocks(), &options, "quantise", &err);
    ck_assert_msg(text && strstr(text, "residual=1.50590551 "), "%s", text); /* 3/127 in 4/255 */
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
    struct error err;
    struct backend *ref = backend_open("ref", 1, &err), *cpu = backend_open("cpu", 1, &err);
    char *plain = after(training(), ref, "layout"), *blocked = after(training(), cpu, "layout");
    const char *y = strstr(blocked, " -> y\n");

    ck_assert_int_eq(count(plain, "Reorder"), 0);
    ck_assert_msg(count(blocked, "Reorder(x)") == 1 && count(blocked, "Reorder(up)") == 1, "%s",
                  blocked);
    while (y > blocked && y[-1] != '\n')
        y--;
    ck_assert_msg(count(y, "= Reorder(%9)") == 1 && strstr(y, "Reorder") < strchr(y, '\n'), "%s",
                  blocked);
    ck_assert_msg(strstr(blocked, "Reorder(x) [2,16,4,4] nChw"), "%s", blocked);
    free(plain);
    free(blocked);
    backend_close(ref);
    backend_close(cpu);
}
END_TEST

START_TEST(place_tells_steps_memory_and_the_peak)
{
    struct error err;
    struct backend *b = backend_open("ref", 1, &err);
    struct plan *p = compile(frozen(), &(struct compile_options){.backend = b, .title = "t"}, &err);
    const struct step *s;

    ck_assert_msg(p != NULL, "%s", err.msg);
    ck_assert_str_eq(p->title, "t");
    ck_assert_uint_eq(p->steps.n, 2);
    s = &p->steps.at[1];
    ck_assert_str_eq(s->op, "FusedConv");
    ck_assert_str_eq(s->layer, "b");
    ck_assert(s->n_in == 4 && s->n_out == 1);
    ck_assert_uint_eq(s->values[1].bytes, 2 * 2 * 3 * 3 * sizeof(float));
    ck_assert_double_eq(s->flops, 2.0 * (2 * 4 * 4) * (2 * 3 * 3));
    /* Only the middle value lives in the arena, from the first step on. */
    ck_assert_uint_eq(p->arena_bytes, 2 * 16 * sizeof(float));
    ck_assert_uint_eq(p->peak_bytes, p->arena_bytes);
    ck_assert_int_eq(p->peak_step, 0);
    ck_assert_uint_eq(p->alive.n, 1);
    ck_assert_msg(strstr(p->alive.at[0].text, "= FusedConv(x, "), "%s", p->alive.at[0].text);
    ck_assert_uint_eq(p->alive.at[0].bytes, p->arena_bytes);
    plan_free(p);
    backend_close(b);
}
END_TEST

/* What a watched run says about a graph whose input is fine and whose middle overflows. */
static void watch_an_overflow(const char *back_end)
{
    struct error err;
    struct backend *b = backend_open(back_end, 1, &err);
    struct graph *g = graph_new();
    value_id x = graph_input(g, "x", DT_REAL, shape2(2, 3)), y = g_exp(g, x);
    float in[] = {0, 1, 2, 3, 1000, 5}, out[6];
    struct nonfinite first = {0};
    struct plan *p;

    graph_name_layer(g, 0, "middle");
    graph_mark_output(g, g_scale(g, y, 0), "out");
    p = compile(g, &(struct compile_options){.backend = b}, &err);
    ck_assert_msg(p != NULL, "%s", err.msg);
    plan_set_region(p, REGION_ARENA, mem_try_aligned(64, p->arena_bytes));
    plan_bind_name(p, "x", in);
    plan_bind_name(p, "out", out);
    plan_watch(p, &first);
    plan_run(p);
    ck_assert_msg(first.found, "nothing was found");
    ck_assert_str_eq(first.text, "node %1 = Exp(x) [2,3] middle: element 4 of 6 is inf");
    /* What was found stays; an input counts too. */
    in[2] = NAN;
    plan_run(p);
    ck_assert_msg(strstr(first.text, "Exp"), "%s", first.text);
    first = (struct nonfinite){0};
    plan_run(p);
    ck_assert_str_eq(first.text, "input x: element 2 of 6 is nan");
    first = (struct nonfinite){0};
    plan_watch(p, NULL);
    plan_run(p);
    ck_assert(!first.found);
    free(p->base[REGION_ARENA]);
    plan_free(p);
    backend_close(b);
}

START_TEST(a_watched_run_names_the_first_value_that_is_not_finite)
{
    watch_an_overflow("ref");
    watch_an_overflow("cpu");
}
END_TEST

UNIT_MAIN(every_pass_makes_the_text_that_its_file_says, what_is_read_elsewhere_is_not_fused,
          layout_reorders_a_value_once_and_gives_outputs_back_plain,
          place_tells_steps_memory_and_the_peak, ranges_are_as_many_as_were_observed,
          a_watched_run_names_the_first_value_that_is_not_finite)
