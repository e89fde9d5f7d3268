/* Every loss of the registry, with and without a projector in front of the features: its gradient
 * against finite differences in double, and the oneDNN back end against the reference. Then what is
 * known of the losses from their formulas (paper.md, section 8); test_review.c has that of ReviewKD. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "proto/wire/catalog.h"
#include "proto/wire/job.h"
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
    int64_t batch, classes, width;
    struct loss_params params;
};

static struct loss_case case_of(const struct loss_def *def, bool projector)
{
    return (struct loss_case){def,
                              projector,
                              BATCH,
                              CLASSES,
                              WIDTH,
                              {.temperature = 3,
                               .label_smoothing = .2,
                               .alpha = 1.5,
                               .beta = .7,
                               .gamma = 1.2,
                               .tau = .5,
                               .norm_step = .8,
                               .norm_target = 4,
                               .student_taps = TAP_POST,
                               .teacher_taps = TAP_PRE,
                               .layer = 1}};
}

/* A stem and two stages: the teacher's are wider than the student's, and one is larger. */
static void add_taps(struct graph *g, int64_t batch, struct model_outputs *student,
                     struct model_outputs *teacher)
{
    static const int64_t student_size[] = {8, 5, 2}, teacher_size[] = {8, 5, 3};

    student->n_taps = teacher->n_taps = ARRAY_LEN(student_size);
    for (int k = 0; k < student->n_taps; k++) {
        int64_t s = student_size[k], t = teacher_size[k];
        char name[32];

        snprintf(name, sizeof(name), "tap.%d", k);
        student->taps[k] = student->preact_taps[k] =
            graph_input(g, name, DT_REAL, shape4(batch, 2 + k, s, s));
        snprintf(name, sizeof(name), "teacher_post.%d", k);
        teacher->taps[k] = graph_input(g, name, DT_REAL, shape4(batch, 3 + k, t, t));
        snprintf(name, sizeof(name), "teacher_pre.%d", k);
        teacher->preact_taps[k] = graph_input(g, name, DT_REAL, shape4(batch, 3 + k, t, t));
    }
}

/* Output "loss", one value a sample; with its gradients, seeded by "up", when asked for. */
static struct graph *build(const struct loss_case *c, bool with_grad)
{
    struct graph *g = graph_new();
    const struct net net = {.g = g, .training = true, .prefix = ""};
    struct loss_args a = {.params = &c->params};
    value_id loss;

    a.student.logits = graph_input(g, "logits", DT_REAL, shape2(c->batch, c->classes));
    a.student.features = a.features = graph_input(
        g, "features", DT_REAL, shape2(c->batch, c->projector ? STUDENT_WIDTH : c->width));
    a.labels = graph_input(g, "labels", DT_INDEX, shape1(c->batch));
    a.teacher.logits = graph_input(g, "teacher_logits", DT_REAL, shape2(c->batch, c->classes));
    a.teacher.features = graph_input(g, "teacher_features", DT_REAL, shape2(c->batch, c->width));
    a.directions = graph_input(g, "directions", DT_REAL, shape2(c->classes, c->width));
    add_taps(g, c->batch, &a.student, &a.teacher);
    if (c->projector)
        a.features = projector_build(&net, a.features, NO_VALUE, c->width);
    loss = c->def->build(g, &a);
    graph_mark_output(g, loss, "loss");
    if (with_grad) {
        graph_want_grad(g, a.student.logits);
        graph_want_grad(g, a.student.features);
        for (int k = 0; k < a.student.n_taps; k++)
            graph_want_grad(g, a.student.taps[k]);
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
    static const char *const names[] = {"logits", "features", "tap.0", "tap.1", "tap.2"};

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

/* All but that of sifn, whose gradient is no derivative: its value is constant. */
START_TEST(gradients_are_those_of_finite_differences)
{
    for (size_t i = 0; i < 2 * loss_registry_len; i++) {
        struct loss_case c = case_of(loss_registry[i / 2], i % 2);
        struct rig forward, grad;

        if (c.def == &loss_sifn)
            continue;
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
    const struct loss_case c = {&loss_nd, false, N, 1, 2, {.temperature = 1}};
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
    const struct loss_case c = {&loss_nd, false, 1, 1, 2, {.temperature = 1}};
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
    const struct loss_case c = {&loss_nd, false, 2, 1, 3, {.temperature = 1}};
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
    const struct loss_case c = {&loss_kd, false, 1, CLASSES, WIDTH, {.temperature = temperature}};
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

/* ce with smoothing e of a row: (1 - e) of the label, and e of the mean over all classes. */
START_TEST(smoothing_spreads_a_share_over_all_classes)
{
    const struct loss_case c = {&loss_ce, false, 1, CLASSES, WIDTH, {.label_smoothing = .3}};
    const double label[] = {2};
    const struct given in[] = {{"logits", student_logits}, {"labels", label}};
    double p[CLASSES], want = 0;
    struct rig r;

    softmax(student_logits, 1, p);
    for (int j = 0; j < CLASSES; j++)
        want -= log(p[j]) * ((j == 2 ? .7 : 0) + .3 / CLASSES);
    open_given(&r, &c, in, ARRAY_LEN(in));
    expect(&r, "loss", 0, want);
    for (size_t j = 0; j < CLASSES; j++)
        expect(&r, "grad/logits", j, p[j] - (j == 2 ? .7 : 0) - .3 / CLASSES);
    rig_close(&r);
}
END_TEST

/* A loss of given logits; rows of CLASSES. */
static void open_logits(struct rig *r, const struct loss_def *def, struct loss_params params,
                        int64_t batch, int64_t classes, const double *student,
                        const double *teacher, const double *labels)
{
    const struct loss_case c = {def, false, batch, classes, WIDTH, params};
    const struct given in[] = {
        {"logits", student}, {"teacher_logits", teacher}, {"labels", labels}};

    open_given(r, &c, in, labels ? 3 : 2);
}

static void open_dkd(struct rig *r, double alpha, double beta, int64_t classes,
                     const double *student, const double *teacher, double label)
{
    open_logits(r, &loss_dkd, (struct loss_params){.temperature = 2, .alpha = alpha, .beta = beta},
                1, classes, student, teacher, &label);
}

/* T^2 KL = TCKD + (1 - p_t,y) NCKD */
START_TEST(dkd_parts_make_up_kd)
{
    double p[CLASSES], along = 0;
    struct rig whole, label, others;

    softmax(teacher_logits, 2, p);
    open_kd(&whole, 2, student_logits, teacher_logits);
    for (int y = 0; y < 3; y++) {
        open_dkd(&label, 1, 0, CLASSES, student_logits, teacher_logits, y);
        open_dkd(&others, 0, 1 - p[y], CLASSES, student_logits, teacher_logits, y);
        expect(&whole, "loss", 0,
               rig_get(&label, rig_io(&label, "loss"), 0) +
                   rig_get(&others, rig_io(&others, "loss"), 0));
        for (size_t j = 0; j < CLASSES; j++) {
            double grad = rig_get(&label, rig_io(&label, "grad/logits"), j) +
                          rig_get(&others, rig_io(&others, "grad/logits"), j);

            expect(&whole, "grad/logits", j, grad);
            along += grad;
        }
        expect(&others, "grad/logits", (size_t)y, 0);
        rig_close(&label);
        rig_close(&others);
    }
    ck_assert_double_le(fabs(along), 1e-12);
    rig_close(&whole);
}
END_TEST

START_TEST(dkd_of_two_classes_has_nothing_among_the_others)
{
    const double student[] = {3, -1}, teacher[] = {.5, 2};
    struct rig r;

    open_dkd(&r, 0, 1, 2, student, teacher, 1);
    expect(&r, "loss", 0, 0);
    for (size_t j = 0; j < 2; j++)
        expect(&r, "grad/logits", j, 0);
    rig_close(&r);
}
END_TEST

/* In float, where the textbook form has infinities from a gap of about 100 on. */
START_TEST(dkd_is_finite_for_any_logits)
{
    static const double far[][3] = {{1e4, -1e4, 0}, {-1e4, 1e4, 1e4}, {0, 0, 0}};

    for (size_t i = 0; i < ARRAY_LEN(far) * ARRAY_LEN(far); i++) {
        const struct loss_case c = {&loss_dkd, false, 1,
                                    3,         WIDTH, {.temperature = 1, .alpha = 1, .beta = 8}};
        struct rig r;

        rig_open(&r, build(&c, true), "cpu");
        rig_fill(&r, unit_seed());
        for (size_t j = 0; j < 3; j++) {
            rig_set(&r, rig_io(&r, "logits"), j, far[i / 3][j]);
            rig_set(&r, rig_io(&r, "teacher_logits"), j, far[i % 3][j]);
        }
        rig_run(&r);
        ck_assert_msg(isfinite(rig_get(&r, rig_io(&r, "loss"), 0)), "pair %zu", i);
        for (size_t j = 0; j < 3; j++)
            ck_assert_msg(isfinite(rig_get(&r, rig_io(&r, "grad/logits"), j)), "pair %zu", i);
        rig_close(&r);
    }
}
END_TEST

static const double rows_s[4 * CLASSES] = {.3,  -1.2, 2.5, .1, -.7, 1, 2,   -3,  .4, .5,
                                           -.6, .7,   1.8, .9, -1,  2, 1.2, -.3, 4,  0};
static const double rows_t[4 * CLASSES] = {1.1, .4, 3.5,  -2,  .2, .5,  -1, 1,   .3, 2,
                                           2.2, -3, -1.4, 1.6, .8, -.9, 0,  1.7, -2, .6};

/* The mean of the loss over `batch` rows from row `first` on. */
static double dist(double beta, double gamma, const double *student, const double *teacher,
                   int64_t batch)
{
    struct rig r;
    double sum = 0;

    open_logits(&r, &loss_dist,
                (struct loss_params){.temperature = 3, .beta = beta, .gamma = gamma}, batch,
                CLASSES, student, teacher, NULL);
    for (int64_t i = 0; i < batch; i++)
        sum += rig_get(&r, rig_io(&r, "loss"), (size_t)i) / (double)batch;
    rig_close(&r);
    return sum;
}

START_TEST(dist_does_not_see_constants_and_order)
{
    double shifted[4 * CLASSES], turned_s[4 * CLASSES], turned_t[4 * CLASSES];
    double want = dist(1, 1, rows_s, rows_t, 4);

    for (size_t i = 0; i < 4 * CLASSES; i++) {
        size_t from = (i + CLASSES) % (4 * CLASSES);

        shifted[i] = rows_s[i] + (double)(i / CLASSES) * 3;
        turned_s[i] = rows_s[from];
        turned_t[i] = rows_t[from];
    }
    ck_assert_double_eq_tol(dist(1, 1, shifted, rows_t, 4), want, 1e-12);
    ck_assert_double_eq_tol(dist(1, 1, turned_s, turned_t, 4), want, 1e-12);
    ck_assert(want > 0 && want < 2 * 9 * 2);
    ck_assert_double_lt(dist(1, 1, rows_s, rows_s, 4), 1e-4);
}
END_TEST

/* Its part along rows is a sum over samples; that along columns depends on the lane. */
START_TEST(dist_of_columns_is_the_lanes)
{
    const double *half_s = rows_s + 2 * CLASSES, *half_t = rows_t + 2 * CLASSES;
    double rows = (dist(1, 0, rows_s, rows_t, 2) + dist(1, 0, half_s, half_t, 2)) / 2;
    double columns = (dist(0, 1, rows_s, rows_t, 2) + dist(0, 1, half_s, half_t, 2)) / 2;
    struct rig one;

    ck_assert_double_eq_tol(dist(1, 0, rows_s, rows_t, 4), rows, 1e-12);
    ck_assert_double_gt(fabs(dist(0, 1, rows_s, rows_t, 4) - columns), 1e-3);
    /* One sample has no column to correlate. */
    open_logits(&one, &loss_dist, (struct loss_params){.temperature = 3, .gamma = 1}, 1, CLASSES,
                rows_s, rows_t, NULL);
    expect(&one, "loss", 0, 9);
    for (size_t j = 0; j < CLASSES; j++)
        expect(&one, "grad/logits", j, 0);
    rig_close(&one);
}
END_TEST

/* Two samples of three features. */
static const double two_s[] = {1, 2, 2, 2, 3, 6}, two_t[] = {0, 0, 5, 8, 0, 6};
static const double two_directions[] = {.6, .8, 0, 0, 0, 1}, two_labels[] = {0, 1};

static void open_features(struct rig *r, const struct loss_def *def, struct loss_params params)
{
    const struct loss_case c = {def, false, 2, 2, 3, params};
    const struct given in[] = {{"features", two_s},
                               {"teacher_features", two_t},
                               {"directions", two_directions},
                               {"labels", two_labels}};
    const char *const read[] = {"features", "teacher_features", "directions", "labels"};
    struct given here[ARRAY_LEN(in)];
    struct graph *g = build(&c, true);
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(in); i++)
        if (graph_uses(g, graph_find(g, read[i])) > 0)
            here[n++] = in[i];
    graph_free(g);
    open_given(r, &c, here, n);
}

/* Of a pure step, every norm grows by the same. */
START_TEST(sifn_pushes_outward_by_the_same_everywhere)
{
    const double norm[] = {3, 7};
    struct rig r;

    open_features(&r, &loss_sifn, (struct loss_params){.norm_step = .3});
    for (size_t i = 0; i < 6; i++)
        expect(&r, "grad/features", i, -2 * .3 * two_s[i] / norm[i / 3]);
    expect(&r, "loss", 0, .09);
    expect(&r, "loss", 1, .09);
    rig_close(&r);
}
END_TEST

START_TEST(hafn_is_about_the_mean_norm_of_the_lane)
{
    struct rig r;

    open_features(&r, &loss_hafn, (struct loss_params){.norm_target = 25});
    expect(&r, "loss", 0, 400); /* (3 + 7) / 2 - 25 = -20 */
    expect(&r, "loss", 1, 400);
    /* Both samples have the lane's value, each with upstream 1. */
    for (size_t i = 0; i < 6; i++)
        expect(&r, "grad/features", i, 2 * 2 * -20 * two_s[i] / (i < 3 ? 3 : 7) / 2);
    rig_close(&r);
}
END_TEST

START_TEST(l2_losses_compare_features_and_norms)
{
    struct rig r;

    open_features(&r, &loss_l2, (struct loss_params){0});
    expect(&r, "loss", 0, 1 + 4 + 9);
    expect(&r, "loss", 1, 36 + 9 + 0);
    rig_close(&r);
    open_features(&r, &loss_norm_l2, (struct loss_params){0});
    expect(&r, "loss", 0, 4); /* 3 and 5 */
    expect(&r, "loss", 1, 9); /* 7 and 10 */
    rig_close(&r);
}
END_TEST

START_TEST(cosine_only_turns)
{
    struct rig r;

    open_features(&r, &loss_cosine, (struct loss_params){0});
    expect(&r, "loss", 0, 1 - 2.2 / 3);
    expect(&r, "loss", 1, 1 - 6. / 7);
    for (size_t i = 0; i < 2; i++) {
        double along = 0;

        for (size_t k = 3 * i; k < 3 * i + 3; k++)
            along += two_s[k] * rig_get(&r, rig_io(&r, "grad/features"), k);
        ck_assert_double_le(fabs(along), 1e-15);
    }
    rig_close(&r);
}
END_TEST

START_TEST(infonce_is_cross_entropy_over_cosines)
{
    const double cosines[] = {2.2 / 3, 2. / 3, 3.6 / 7, 6. / 7};
    struct rig r;

    open_features(&r, &loss_infonce, (struct loss_params){.tau = .1});
    expect(&r, "loss", 0, log(1 + exp((cosines[1] - cosines[0]) / .1)));
    expect(&r, "loss", 1, log(1 + exp((cosines[2] - cosines[3]) / .1)));
    rig_close(&r);
}
END_TEST

/* |l - 1| <= 1, and where nothing is negative l <= 1; only the teacher's norm matters. */
START_TEST(nd_keeps_its_bounds)
{
    struct loss_case c = case_of(&loss_nd, false);
    struct rig r, turned;

    rig_open(&r, build(&c, true), "ref64");
    rig_open(&turned, build(&c, true), "ref64");
    for (uint64_t round = 0; round < 20; round++) {
        int directions, teacher = rig_io(&r, "teacher_features");

        rig_fill(&r, rng_key(unit_seed(), round));
        rig_fill(&turned, rng_key(unit_seed(), round));
        directions = rig_io(&r, "directions");
        for (size_t k = 0; k < CLASSES; k++) {
            double norm = 0;

            for (size_t i = 0; i < WIDTH; i++)
                norm += pow(rig_get(&r, directions, k * WIDTH + i), 2);
            for (size_t i = k * WIDTH; i < (k + 1) * WIDTH; i++)
                rig_set(&r, directions, i, rig_get(&r, directions, i) / sqrt(norm));
            for (size_t i = k * WIDTH; i < (k + 1) * WIDTH; i++)
                rig_set(&turned, directions, i, rig_get(&r, directions, i));
        }
        for (size_t i = 0; i < BATCH * WIDTH; i++) /* another vector of the same norm */
            rig_set(&turned, teacher, i, -rig_get(&r, teacher, i - i % WIDTH + (i + 1) % WIDTH));
        rig_run(&r);
        rig_run(&turned);
        for (size_t i = 0; i < BATCH; i++) {
            double l = rig_get(&r, rig_io(&r, "loss"), i);

            ck_assert_msg(l >= 0 && l <= 2, "seed %zu: %g", (size_t)unit_seed(), l);
            expect(&turned, "loss", i, l);
        }
        for (size_t i = 0; i < BATCH * WIDTH; i++)
            rig_set(&r, rig_io(&r, "features"), i, fabs(rig_get(&r, rig_io(&r, "features"), i)));
        for (size_t i = 0; i < CLASSES * WIDTH; i++)
            rig_set(&r, directions, i, fabs(rig_get(&r, directions, i)));
        rig_run(&r);
        for (size_t i = 0; i < BATCH; i++)
            ck_assert_double_le(rig_get(&r, rig_io(&r, "loss"), i), 1);
    }
    rig_close(&r);
    rig_close(&turned);
}
END_TEST

/* Rows say which fields they read; each field is there in LossSpec and read by some row. */
START_TEST(rows_and_fields_of_a_loss_agree)
{
    const LossSpec spec = DISTILLD__LOSS_SPEC__INIT;

    for (size_t i = 0; i < n_loss_params; i++) {
        bool read = false;

        for (size_t k = 0; k < loss_registry_len; k++) {
            const struct catalog_entry e = {
                .params = loss_registry[k]->params ? loss_registry[k]->params : ""};

            read |= catalog_takes(&e, loss_param_table[i].name);
        }
        ck_assert_msg(read, "no loss reads %s", loss_param_table[i].name);
        ck_assert(isfinite(job_loss_number(&spec, loss_param_table[i].name)));
    }
    ck_assert_int_eq(TAP_POST, DISTILLD__TAP__POST);
    ck_assert_int_eq(TAP_PRE, DISTILLD__TAP__PRE);
    ck_assert_int_eq(SCOPE_LANE, DISTILLD__SCOPE__LANE);
    ck_assert_int_eq(SCOPE_BATCH, DISTILLD__SCOPE__BATCH);
}
END_TEST

/* What a loss is given but has not listed, it must not look at. */
START_TEST(a_loss_reads_the_fields_that_its_row_lists)
{
    for (size_t i = 0; i < loss_registry_len; i++)
        for (size_t k = 0; k < n_loss_params; k++) {
            struct loss_case c = case_of(loss_registry[i], false);
            const struct catalog_entry e = {.params = c.def->params ? c.def->params : ""};
            double *value = (double *)(void *)((char *)&c.params + loss_param_table[k].offset);
            struct graph *g = build(&c, true);
            char *before = graph_dump(g), *after;

            graph_free(g);
            /* Taps are 0 or 1, whole numbers stay below the number of stages. */
            *value = strstr(loss_param_table[k].name, "taps")         ? 1 - *value
                     : strcmp(loss_param_table[k].name, "layer") == 0 ? 2
                                                                      : *value + 1;
            g = build(&c, true);
            after = graph_dump(g);
            /* In these cases both taps are one value; scope is for those who build the graphs. */
            if (strcmp(loss_param_table[k].name, "student_taps") != 0 &&
                strcmp(loss_param_table[k].name, "scope") != 0)
                ck_assert_msg((strcmp(before, after) != 0) ==
                                  catalog_takes(&e, loss_param_table[k].name),
                              "%s and %s", c.def->name, loss_param_table[k].name);
            graph_free(g);
            free(before);
            free(after);
        }
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
          smoothing_spreads_a_share_over_all_classes, dkd_parts_make_up_kd,
          dkd_of_two_classes_has_nothing_among_the_others, dkd_is_finite_for_any_logits,
          dist_does_not_see_constants_and_order, dist_of_columns_is_the_lanes,
          sifn_pushes_outward_by_the_same_everywhere, hafn_is_about_the_mean_norm_of_the_lane,
          l2_losses_compare_features_and_norms, cosine_only_turns,
          infonce_is_cross_entropy_over_cosines, nd_keeps_its_bounds,
          rows_and_fields_of_a_loss_agree, a_loss_reads_the_fields_that_its_row_lists,
          projector_in_evaluation_is_an_affine_map)
