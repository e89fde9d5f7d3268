/* Every loss of the registry, with and without a projector in front of the features: its gradient
 * against finite differences in double, and the oneDNN back end against the reference. Then what is
 * known of the losses from their formulas (paper.md, section 8). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/rng.h"
#include "tests/ops/rig.h"
#include "tests/unit/unit.h"
#include "worker/engine/ops/ops.h"
#include "worker/losses/loss.h"
#include "worker/models/model.h"

enum {
    BATCH = 7,
    CLASSES = 5,
    WIDTH = 6,
    STUDENT_WIDTH = 4
};

struct loss_case {
    const struct loss_def *def;
    bool projector;
    double temperature;
    int64_t batch, classes, width;
};

static struct loss_case case_of(const struct loss_def *def, bool projector)
{
    return (struct loss_case){def, projector, 3, BATCH, CLASSES, WIDTH};
}

/* Output "loss", one value a sample; with its gradients, seeded by "up", when asked for. */
static struct graph *build(const struct loss_case *c, bool with_grad)
{
    struct graph *g = graph_new();
    const struct net net = {.g = g, .training = true, .prefix = ""};
    value_id logits = graph_input(g, "logits", DT_REAL, shape2(c->batch, c->classes));
    value_id features = graph_input(g, "features", DT_REAL,
                                    shape2(c->batch, c->projector ? STUDENT_WIDTH : c->width));
    struct loss_args a = {.logits = logits, .features = features, .temperature = c->temperature};
    value_id loss;

    a.labels = graph_input(g, "labels", DT_INDEX, shape1(c->batch));
    a.teacher_logits = graph_input(g, "teacher_logits", DT_REAL, shape2(c->batch, c->classes));
    a.teacher_features = graph_input(g, "teacher_features", DT_REAL, shape2(c->batch, c->width));
    a.directions = graph_input(g, "directions", DT_REAL, shape2(c->classes, c->width));
    if (c->projector)
        a.features = projector_build(&net, features, NO_VALUE, c->width);
    loss = c->def->build(g, &a);
    graph_mark_output(g, loss, "loss");
    if (with_grad) {
        graph_want_grad(g, logits);
        graph_want_grad(g, features);
        graph_seed(g, loss, graph_input(g, "up", DT_REAL, shape1(c->batch)));
    } else {
        g->wants.n = 0;
    }
    return g;
}

/* sum(loss * up) */
static double objective(struct rig *forward, const struct rig *grad)
{
    int loss = rig_io(forward, "loss"), up = rig_io(grad, "up");
    double sum = 0;

    rig_run(forward);
    for (size_t i = 0; i < rig_count(forward, loss); i++)
        sum += rig_get(forward, loss, i) * rig_get(grad, up, i);
    return sum;
}

/* n numbers that the objective depends on, and their gradient. */
struct variable {
    const char *name;
    void *x;
    const void *grad; /* NULL: there is none, so the objective must not depend on x */
    size_t n;
};

static void check_direction(const struct loss_case *c, struct rig *forward, const struct rig *grad,
                            const struct variable *v, uint64_t seed)
{
    double *x = NEW_ARRAY(double, v->n), step = 1e-5, value[2], analytic = 0, scale = 1, numeric;

    for (size_t i = 0; i < v->n; i++) {
        double slope = v->grad ? rig_region_get(grad, v->grad, i) : 0;
        double part = (2 * rng_uniform(seed, i) - 1) * slope;

        x[i] = rig_region_get(forward, v->x, i);
        analytic += part;
        scale += fabs(part);
    }
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < v->n; i++)
            rig_region_set(forward, v->x, i,
                           x[i] + (side ? -step : step) * (2 * rng_uniform(seed, i) - 1));
        value[side] = objective(forward, grad);
    }
    for (size_t i = 0; i < v->n; i++)
        rig_region_set(forward, v->x, i, x[i]);
    numeric = (value[0] - value[1]) / (2 * step);
    ck_assert_msg(fabs(numeric - analytic) <= 1e-6 * scale, "%s%s, %s: %.12g, not %.12g",
                  c->def->name, c->projector ? " behind a projector" : "", v->name, analytic,
                  numeric);
    free(x);
}

static void check_inputs(const struct loss_case *c, struct rig *forward, const struct rig *grad)
{
    static const char *const names[] = {"logits", "features"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        int in = plan_io_find(forward->plan, names[i]);
        char full[32];
        struct variable v = {.name = names[i]};

        if (in < 0)
            continue;
        snprintf(full, sizeof(full), "grad/%s", names[i]);
        v.x = forward->plan->io.at[in].bound;
        v.grad =
            plan_io_find(grad->plan, full) < 0 ? NULL : grad->plan->io.at[rig_io(grad, full)].bound;
        v.n = rig_count(forward, in);
        check_direction(c, forward, grad, &v, rng_key(unit_seed(), i));
    }
}

static void check_params(const struct loss_case *c, struct rig *forward, const struct rig *grad)
{
    for (size_t i = 0; i < forward->flat.params.n; i++) {
        const struct flat_entry *e = &forward->flat.params.at[i];
        const struct flat_entry *of_grad = flat_find(&grad->flat, e->name);
        size_t size = grad->backend->def->real_size;
        const struct variable v = {e->name, (char *)forward->params + e->offset * size,
                                   (const char *)grad->grads + of_grad->offset * size, e->count};

        check_direction(c, forward, grad, &v, rng_key(unit_seed(), 10 + i));
    }
}

START_TEST(gradients_are_those_of_finite_differences)
{
    for (size_t i = 0; i < 2 * loss_registry_len; i++) {
        struct loss_case c = case_of(loss_registry[i / 2], i % 2);
        struct rig forward, grad;

        rig_open(&forward, build(&c, false), "ref64");
        rig_open(&grad, build(&c, true), "ref64");
        rig_fill(&forward, unit_seed());
        rig_fill(&grad, unit_seed());
        rig_run(&grad);
        check_inputs(&c, &forward, &grad);
        check_params(&c, &forward, &grad);
        rig_close(&forward);
        rig_close(&grad);
    }
}
END_TEST

static void compare_region(const struct loss_case *c, const char *what, const struct rig *got,
                           const void *a, const struct rig *want, const void *b, size_t n)
{
    double largest = 1e-3;

    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(rig_region_get(want, b, i)));
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(fabs(rig_region_get(got, a, i) - rig_region_get(want, b, i)) <=
                          2e-5 * largest,
                      "%s, %s[%zu]: %.9g, not %.9g", c->def->name, what, i,
                      rig_region_get(got, a, i), rig_region_get(want, b, i));
}

START_TEST(back_ends_agree)
{
    for (size_t i = 0; i < 2 * loss_registry_len; i++) {
        struct loss_case c = case_of(loss_registry[i / 2], i % 2);
        struct rig want, got;

        rig_open(&want, build(&c, true), "ref64");
        rig_open(&got, build(&c, true), "cpu");
        rig_fill(&want, unit_seed());
        rig_fill(&got, unit_seed());
        rig_run(&want);
        rig_run(&got);
        for (size_t io = 0; io < want.plan->io.n; io++)
            if (want.plan->io.at[io].is_output)
                compare_region(&c, want.plan->io.at[io].name, &got, got.plan->io.at[io].bound,
                               &want, want.plan->io.at[io].bound, rig_count(&want, (int)io));
        compare_region(&c, "parameters", &got, got.grads, &want, want.grads, want.flat.param_count);
        rig_close(&want);
        rig_close(&got);
    }
}
END_TEST

/* A loss on given numbers, in double: rows of `in` are put under their names, "up" is 1. */
struct given {
    const char *name;
    const double *x;
};

static void open_given(struct rig *r, const struct loss_case *c, const struct given *in, size_t n)
{
    rig_open(r, build(c, true), "ref64");
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < rig_count(r, rig_io(r, in[i].name)); k++)
            rig_set(r, rig_io(r, in[i].name), k, in[i].x[k]);
    for (int64_t k = 0; k < c->batch; k++)
        rig_set(r, rig_io(r, "up"), (size_t)k, 1);
    rig_run(r);
}

static void expect(const struct rig *r, const char *name, size_t i, double want)
{
    double got = rig_get(r, rig_io(r, name), i);

    ck_assert_msg(fabs(got - want) <= 1e-12, "%s[%zu]: %.15g, not %.15g", name, i, got, want);
}

/* Teacher feature (3,4), class direction (0,1). */
static const struct {
    double s[2], loss, grad[2];
} nd_rows[] = {
    {{3, 0}, 1, {0, -.2}},       /* below the teacher's norm: a push along the direction ... */
    {{0, 2.5}, .5, {0, -.2}},    /* ... that does not depend on the feature */
    {{6, 8}, .2, {.048, -.036}}, /* above it: pure rotation */
    {{4, 3}, .4, {.096, -.128}}, /* a tie belongs to the student's branch */
    {{0, 0}, 1, {0, -.2}},       {{0, -5}, 2, {0, 0}}, /* the worst there is */
    {{0, 9}, 0, {0, 0}}, /* along the direction and long enough: nothing to gain */
    {{7, 0}, 1, {0, -1. / 7}},
};

START_TEST(nd_has_the_worked_values)
{
    enum {
        N = ARRAY_LEN(nd_rows)
    };
    const struct loss_case c = {&loss_nd, false, 1, N, 1, 2};
    double s[2 * N], t[2 * N], direction[] = {0, 1}, labels[N] = {0};
    const struct given in[] = {
        {"features", s}, {"teacher_features", t}, {"directions", direction}, {"labels", labels}};
    struct rig r;

    for (int i = 0; i < N; i++) {
        memcpy(s + 2 * i, nd_rows[i].s, 2 * sizeof(*s));
        t[2 * i] = 3;
        t[2 * i + 1] = 4;
    }
    open_given(&r, &c, in, ARRAY_LEN(in));
    for (size_t i = 0; i < N; i++) {
        expect(&r, "loss", i, nd_rows[i].loss);
        expect(&r, "grad/features", 2 * i, nd_rows[i].grad[0]);
        expect(&r, "grad/features", 2 * i + 1, nd_rows[i].grad[1]);
    }
    rig_close(&r);
}
END_TEST

START_TEST(nd_without_any_feature_stays_finite)
{
    const struct loss_case c = {&loss_nd, false, 1, 1, 1, 2};
    const double zero[2] = {0}, direction[] = {.6, .8}, label[] = {0};
    const struct given in[] = {{"features", zero},
                               {"teacher_features", zero},
                               {"directions", direction},
                               {"labels", label}};
    struct rig r;

    open_given(&r, &c, in, ARRAY_LEN(in));
    ck_assert(isfinite(rig_get(&r, rig_io(&r, "loss"), 0)));
    ck_assert(isfinite(rig_get(&r, rig_io(&r, "grad/features"), 0)));
    rig_close(&r);
}
END_TEST

/* Two samples: the second is the first with the student's feature twice as long. */
static void scaled_nd(struct rig *r, double length)
{
    const struct loss_case c = {&loss_nd, false, 1, 2, 1, 3};
    const double s[] = {length * .48, length * .6,  length * .64,
                        length * .96, length * 1.2, length * 1.28};
    const double t[] = {0, 5, 0, 3, 0, 4}; /* the same norm: where a teacher points is no matter */
    const double direction[] = {1, 0, 0}, labels[] = {0, 0};
    const struct given in[] = {
        {"features", s}, {"teacher_features", t}, {"directions", direction}, {"labels", labels}};

    open_given(r, &c, in, ARRAY_LEN(in));
}

START_TEST(nd_above_the_teachers_norm_only_turns)
{
    struct rig r;
    double along = 0, s[] = {.48, .6, .64};

    scaled_nd(&r, 20);
    expect(&r, "loss", 1, rig_get(&r, rig_io(&r, "loss"), 0));
    for (size_t k = 0; k < 3; k++) {
        double grad = rig_get(&r, rig_io(&r, "grad/features"), k);

        along += grad * s[k];
        expect(&r, "grad/features", 3 + k, grad / 2);
    }
    ck_assert_double_le(fabs(along), 1e-15);
    rig_close(&r);
}
END_TEST

START_TEST(nd_below_the_teachers_norm_is_linear)
{
    struct rig r;

    scaled_nd(&r, 1);
    expect(&r, "loss", 1, 1 - 2 * (1 - rig_get(&r, rig_io(&r, "loss"), 0)));
    for (size_t k = 0; k < 6; k++)
        expect(&r, "grad/features", k, k % 3 ? 0 : -.2);
    rig_close(&r);
}
END_TEST

static void softmax(const double *z, double temperature, double *p)
{
    double sum = 0;

    for (int j = 0; j < CLASSES; j++)
        sum += exp(z[j] / temperature);
    for (int j = 0; j < CLASSES; j++)
        p[j] = exp(z[j] / temperature) / sum;
}

static void open_kd(struct rig *r, double temperature, const double *student, const double *teacher)
{
    const struct loss_case c = {&loss_kd, false, temperature, 1, CLASSES, WIDTH};
    const struct given in[] = {{"logits", student}, {"teacher_logits", teacher}};

    open_given(r, &c, in, ARRAY_LEN(in));
}

static const double student_logits[CLASSES] = {.3, -1.2, 2.5, .1, -.7};
static const double teacher_logits[CLASSES] = {1.1, .4, 3.5, -2, .2};

START_TEST(kd_is_zero_for_logits_that_differ_by_a_constant)
{
    double shifted[CLASSES];
    struct rig r;

    for (int j = 0; j < CLASSES; j++)
        shifted[j] = student_logits[j] + 7;
    open_kd(&r, 4, student_logits, shifted);
    expect(&r, "loss", 0, 0);
    for (size_t j = 0; j < CLASSES; j++)
        expect(&r, "grad/logits", j, 0);
    rig_close(&r);
}
END_TEST

START_TEST(kd_gradient_is_t_times_the_difference_of_probabilities)
{
    double s[CLASSES], t[CLASSES];
    struct rig r;

    softmax(student_logits, 4, s);
    softmax(teacher_logits, 4, t);
    open_kd(&r, 4, student_logits, teacher_logits);
    for (size_t j = 0; j < CLASSES; j++)
        expect(&r, "grad/logits", j, 4 * (s[j] - t[j]));
    rig_close(&r);
}
END_TEST

START_TEST(kd_of_a_hot_limit_compares_centred_logits)
{
    double mean = 0, squares = 0;
    struct rig r;

    for (int j = 0; j < CLASSES; j++)
        mean += (student_logits[j] - teacher_logits[j]) / CLASSES;
    for (int j = 0; j < CLASSES; j++)
        squares += pow(student_logits[j] - teacher_logits[j] - mean, 2);
    open_kd(&r, 1e4, student_logits, teacher_logits);
    ck_assert_double_eq_tol(rig_get(&r, rig_io(&r, "loss"), 0), squares / (2 * CLASSES), 1e-3);
    rig_close(&r);
}
END_TEST

START_TEST(kd_from_a_sure_teacher_is_cross_entropy)
{
    const double sure[CLASSES] = {0, 0, 0, 60, 0};
    double p[CLASSES];
    struct rig r;

    softmax(student_logits, 1, p);
    open_kd(&r, 1, student_logits, sure);
    expect(&r, "loss", 0, -log(p[3]));
    rig_close(&r);
}
END_TEST

/* In evaluation the projector is one affine map: batch norm by running statistics, then linear. */
START_TEST(projector_in_evaluation_is_an_affine_map)
{
    struct graph *g = graph_new();
    const struct net net = {.g = g, .training = false, .prefix = ""};
    value_id x = graph_input(g, "x", DT_REAL, shape2(2, STUDENT_WIDTH));
    struct rig r;

    graph_mark_output(g, projector_build(&net, x, NO_VALUE, WIDTH), "y");
    rig_open(&r, g, "ref64");
    rig_fill(&r, unit_seed());
    for (size_t i = 0; i < r.flat.buffer_count; i++)
        rig_region_set(&r, r.buffers, i, .5 + (double)i / 20);
    rig_run(&r);
    for (size_t n = 0; n < 2; n++)
        for (size_t o = 0; o < WIDTH; o++) {
            const struct flat *f = &r.flat;
            double want =
                rig_region_get(&r, r.params, flat_find(f, "projector.2.bias")->offset + o);

            for (size_t i = 0; i < STUDENT_WIDTH; i++) {
                double gamma =
                    rig_region_get(&r, r.params, flat_find(f, "projector.0.weight")->offset + i);
                double beta =
                    rig_region_get(&r, r.params, flat_find(f, "projector.0.bias")->offset + i);
                double mean = rig_region_get(&r, r.buffers,
                                             flat_find(f, "projector.0.running_mean")->offset + i);
                double var = rig_region_get(&r, r.buffers,
                                            flat_find(f, "projector.0.running_var")->offset + i);
                double w = rig_region_get(&r, r.params,
                                          flat_find(f, "projector.2.weight")->offset +
                                              o * STUDENT_WIDTH + i);

                want += w * ((rig_get(&r, rig_io(&r, "x"), n * STUDENT_WIDTH + i) - mean) /
                                 sqrt(var + 1e-5) * gamma +
                             beta);
            }
            expect(&r, "y", n * WIDTH + o, want);
        }
    rig_close(&r);
}
END_TEST

UNIT_MAIN(gradients_are_those_of_finite_differences, back_ends_agree, nd_has_the_worked_values,
          nd_without_any_feature_stays_finite, nd_above_the_teachers_norm_only_turns,
          nd_below_the_teachers_norm_is_linear, kd_is_zero_for_logits_that_differ_by_a_constant,
          kd_gradient_is_t_times_the_difference_of_probabilities,
          kd_of_a_hot_limit_compares_centred_logits, kd_from_a_sure_teacher_is_cross_entropy,
          projector_in_evaluation_is_an_affine_map)
