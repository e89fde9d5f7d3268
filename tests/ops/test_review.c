/* What is known of ReviewKD's parts, and which stages reviewkd and hint read. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "tests/ops/rig.h"
#include "tests/unit/unit.h"
#include "worker/losses/loss.h"
#include "worker/losses/review.h"

static double get(const struct rig *r, const char *name, size_t i)
{
    return rig_get(r, rig_io(r, name), i);
}

static void expect(const struct rig *r, const char *name, size_t i, double want)
{
    ck_assert_msg(fabs(get(r, name, i) - want) <= 1e-12, "%s[%zu]: %.15g, not %.15g", name, i,
                  get(r, name, i), want);
}

static struct graph *hcl(int64_t size)
{
    struct graph *g = graph_new();
    value_id s = graph_input(g, "s", DT_REAL, shape4(2, 3, size, size));
    value_id t = graph_input(g, "t", DT_REAL, shape4(2, 3, size, size));

    graph_mark_output(g, hcl_build(g, s, t), "loss");
    return g;
}

START_TEST(hcl_of_a_constant_offset_is_its_square)
{
    static const int64_t sizes[] = {32, 8, 7, 4, 3, 2, 1};

    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        struct rig r;

        rig_open(&r, hcl(sizes[k]), "ref64");
        rig_fill(&r, unit_seed());
        for (size_t i = 0; i < rig_count(&r, rig_io(&r, "s")); i++)
            rig_set(&r, rig_io(&r, "s"), i,
                    get(&r, "t", i) + (i < rig_count(&r, rig_io(&r, "s")) / 2 ? .5 : -3));
        rig_run(&r);
        expect(&r, "loss", 0, .25);
        expect(&r, "loss", 1, 9);
        rig_close(&r);
    }
}
END_TEST

START_TEST(hcl_of_one_pixel_is_the_mean_square)
{
    struct rig r;

    rig_open(&r, hcl(1), "ref64");
    rig_fill(&r, unit_seed());
    rig_run(&r);
    for (size_t n = 0; n < 2; n++) {
        double sum = 0;

        for (size_t c = 3 * n; c < 3 * n + 3; c++)
            sum += pow(get(&r, "s", c) - get(&r, "t", c), 2) / 3;
        expect(&r, "loss", n, sum);
    }
    rig_close(&r);
}
END_TEST

/* A difference that averages out over each quarter is seen at full size and in 4 x 4 cells alone. */
START_TEST(hcl_weighs_its_levels)
{
    struct rig r;

    rig_open(&r, hcl(8), "ref64");
    rig_fill(&r, unit_seed());
    for (size_t i = 0; i < rig_count(&r, rig_io(&r, "s")); i++) {
        bool odd = ((i / 2) % 4 + (i / 16) % 4) % 2; /* a chessboard of 4 x 4 cells */

        rig_set(&r, rig_io(&r, "s"), i, get(&r, "t", i) + (odd ? 1 : -1));
    }
    rig_run(&r);
    expect(&r, "loss", 0, 1.5 / 1.875);
    rig_close(&r);
}
END_TEST

static struct graph *abf(bool training)
{
    struct graph *g = graph_new();
    const struct net net = {.g = g, .training = training, .prefix = ""};
    const struct abf_form form = {.mid = 4, .out = 5, .height = 6, .width = 6};
    value_id x = graph_input(g, "x", DT_REAL, shape4(2, 3, 3, 3));
    value_id residual = graph_input(g, "residual", DT_REAL, shape4(2, 4, 2, 2));

    graph_mark_output(g, abf_build(&net, &form, x, &residual), "y");
    graph_mark_output(g, residual, "left");
    return g;
}

static void set_param(struct rig *r, const char *name, double a, double b)
{
    const struct flat_entry *e = flat_find(&r->flat, name);

    ck_assert_msg(e != NULL, "there is no %s", name);
    for (size_t i = 0; i < e->count; i++)
        rig_region_set(r, r->params, e->offset + i, i % 2 ? b : a);
}

static void open_abf(struct rig *r, double gate_of_x, double gate_of_residual)
{
    rig_open(r, abf(false), "ref64");
    rig_fill(r, unit_seed());
    for (size_t i = 0; i < r->flat.buffer_count; i++)
        rig_region_set(r, r->buffers, i, .5 + (double)i / 20);
    set_param(r, "att_conv.0.weight", 0, 0);
    set_param(r, "att_conv.0.bias", gate_of_x, gate_of_residual);
    rig_run(r);
}

/* With one gate open and the other shut, what is left is the one path, brought to the size asked for. */
START_TEST(a_fusion_with_its_gates_forced_takes_one_path)
{
    struct rig own, other, both;

    open_abf(&own, 1e3, -1e3);
    open_abf(&other, -1e3, 1e3);
    open_abf(&both, 1e3, 1e3);
    for (size_t i = 0; i < rig_count(&own, rig_io(&own, "left")); i++) {
        size_t column = i % 6, row = i / 6 % 6, map = i / 36;
        /* 6 from 3, and 3 from 2: source pixel floor(i in / out). */
        size_t from = map * 4 + (row / 2 * 2 / 3) * 2 + column / 2 * 2 / 3;

        expect(&other, "left", i, get(&other, "residual", from));
        expect(&both, "left", i, get(&own, "left", i) + get(&other, "left", i));
        expect(&own, "left", i, get(&own, "left", map * 36 + row / 2 * 12 + column / 2 * 2));
    }
    rig_close(&own);
    rig_close(&other);
    rig_close(&both);
}
END_TEST

/* A network with a stem and two stages, whose outputs are inputs; each has a name of its own. */
static struct model_outputs network(struct graph *g, const char *whose, const int64_t *sizes,
                                    int n_taps)
{
    struct model_outputs m = {.logits = NO_VALUE, .n_taps = n_taps};

    for (int k = 0; k < n_taps; k++) {
        char *post = str_fmt("%s/post/%d", whose, k), *pre = str_fmt("%s/pre/%d", whose, k);

        m.taps[k] = graph_input(g, post, DT_REAL, shape4(2, 3, sizes[k], sizes[k]));
        m.preact_taps[k] = graph_input(g, pre, DT_REAL, shape4(2, 3, sizes[k], sizes[k]));
        free(post);
        free(pre);
    }
    m.features = graph_input(g, whose, DT_REAL, shape2(2, 3));
    return m;
}

static const int64_t sizes[] = {8, 8, 4};

/* The graph of a loss between two such networks. */
static struct graph *between(const struct loss_def *def, const struct loss_params *params,
                             int student_taps, int teacher_taps)
{
    struct graph *g = graph_new();
    const struct loss_args a = {.student = network(g, "student", sizes, student_taps),
                                .teacher = network(g, "teacher", sizes, teacher_taps),
                                .params = params};

    def->build(g, &a);
    return g;
}

/* The inputs that are read, as one text; free(). */
static char *reads(const struct loss_def *def, struct loss_params params)
{
    struct graph *g = between(def, &params, 3, 3);
    struct buf b = buf_new(0);
    struct error err;

    ck_assert_msg(graph_ok(g, &err), "%s", err.msg);
    for (size_t i = 0; i < g->values.n; i++)
        if (g->values.at[i].kind == VALUE_INPUT && graph_uses(g, (value_id)i))
            buf_fmt(&b, "%s ", g->values.at[i].name);
    graph_free(g);
    return buf_take(&b);
}

static void expect_reads(const struct loss_def *def, struct loss_params params, const char *want)
{
    char *got = reads(def, params);

    ck_assert_msg(strcmp(got, want) == 0, "%s reads %s, not %s", def->name, got, want);
    free(got);
}

START_TEST(losses_read_the_stages_that_they_are_told)
{
    expect_reads(&loss_reviewkd, (struct loss_params){.teacher_taps = TAP_PRE},
                 "student/post/1 student/post/2 student teacher/pre/1 teacher/pre/2 teacher ");
    expect_reads(&loss_reviewkd, (struct loss_params){.student_taps = TAP_PRE},
                 "student/pre/1 student/pre/2 student teacher/post/1 teacher/post/2 teacher ");
    expect_reads(&loss_hint, (struct loss_params){.layer = 2, .teacher_taps = TAP_PRE},
                 "student/post/2 teacher/pre/2 ");
    expect_reads(&loss_hint, (struct loss_params){.layer = 1, .student_taps = TAP_PRE},
                 "student/pre/1 teacher/post/1 ");
}
END_TEST

START_TEST(networks_that_cannot_be_compared_are_refused)
{
    static const struct loss_params params = {.layer = 2};
    struct graph *g = between(&loss_reviewkd, &params, 2, 3);
    struct error err;

    ck_assert_error(graph_ok(g, &err), err, "the student has 1, the teacher 2");
    graph_free(g);
    g = between(&loss_hint, &params, 2, 3);
    ck_assert_error(graph_ok(g, &err), err, "layer is 2, but the student's last stage is 1");
    graph_free(g);
}
END_TEST

UNIT_MAIN(hcl_of_a_constant_offset_is_its_square, hcl_of_one_pixel_is_the_mean_square,
          hcl_weighs_its_levels, a_fusion_with_its_gates_forced_takes_one_path,
          losses_read_the_stages_that_they_are_told, networks_that_cannot_be_compared_are_refused)
