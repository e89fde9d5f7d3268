/* The optimisers against PyTorch's definitions, written down once more in double, and the schedules against
 * the rates of the recipes. */
#include <math.h>
#include <stdlib.h>

#include "proto/base/rng.h"
#include "tests/unit/unit.h"
#include "worker/optim/grad_norm.h"
#include "worker/optim/optim.h"

enum {
    N = 37 /* no multiple of a vector: the tail counts */
};

static double gradient(int step, int i)
{
    return (double)(float)(2 * rng_uniform(rng_key(5, (uint64_t)step), (uint64_t)i) - 1);
}

/* torch.optim.SGD: the momentum buffer starts as the first gradient. */
static void sgd_by_definition(const struct optim_hyper *h, int steps, double *p)
{
    double b[N] = {0};

    for (int s = 0; s < steps; s++)
        for (int i = 0; i < N; i++) {
            double g = gradient(s, i) + h->weight_decay * p[i];

            b[i] = s ? h->momentum * b[i] + g : g;
            p[i] -= h->lr * (h->nesterov ? g + h->momentum * b[i] : b[i]);
        }
}

/* torch.optim.AdamW */
static void adamw_by_definition(const struct optim_hyper *h, int steps, double *p)
{
    double m[N] = {0}, v[N] = {0};

    for (int s = 0; s < steps; s++)
        for (int i = 0; i < N; i++) {
            double g = gradient(s, i), rate = h->lr / (1 - pow(h->beta1, s + 1));

            p[i] *= 1 - h->lr * h->weight_decay;
            m[i] = h->beta1 * m[i] + (1 - h->beta1) * g;
            v[i] = h->beta2 * v[i] + (1 - h->beta2) * g * g;
            p[i] -= rate * m[i] / (sqrt(v[i]) / sqrt(1 - pow(h->beta2, s + 1)) + h->epsilon);
        }
}

static void start(double *p)
{
    for (int i = 0; i < N; i++)
        p[i] = (double)(float)(rng_uniform(1, (uint64_t)i) - .5);
}

static void by_optimiser(const char *name, const struct optim_hyper *h, int steps, float *p)
{
    const struct optim_def *def = optim_find(name);
    float state[OPTIM_MAX_STATES][N] = {{0}}, g[N];
    float *const states[OPTIM_MAX_STATES] = {state[0], state[1], state[2]};
    struct optim_hyper now = *h;

    for (int s = 0; s < steps; s++) {
        for (int i = 0; i < N; i++)
            g[i] = (float)gradient(s, i);
        now.step = s + 1;
        def->update(p, g, states, N, &now);
    }
}

static void one_by_one(const char *name, const struct optim_hyper *h, int steps, float *p)
{
    const struct optim_def *def = optim_find(name);
    float state[OPTIM_MAX_STATES][N] = {{0}};
    struct optim_hyper now = *h;

    for (int s = 0; s < steps; s++)
        for (int i = 0; i < N; i++) {
            float g = (float)gradient(s, i);

            now.step = s + 1;
            def->update(p + i, &g, (float *const[]){state[0] + i, state[1] + i, state[2] + i}, 1,
                        &now);
        }
}

static void check(const char *name, const struct optim_hyper *h,
                  void (*by_definition)(const struct optim_hyper *h, int steps, double *p))
{
    double want[N];
    float got[N];

    start(want);
    for (int i = 0; i < N; i++)
        got[i] = (float)want[i];
    by_definition(h, 20, want);
    by_optimiser(name, h, 20, got);
    for (int i = 0; i < N; i++)
        ck_assert_msg(fabs((double)got[i] - want[i]) <= 3e-7 * (1 + fabs(want[i])),
                      "%s, lr %g, decay %g, element %d: %.9g, not %.9g", name, h->lr,
                      h->weight_decay, i, (double)got[i], want[i]);
}

START_TEST(sgd_is_pytorchs)
{
    static const struct optim_hyper rows[] = {
        {.lr = .1},
        {.lr = .1, .weight_decay = .01},
        {.lr = .05, .momentum = .9},
        {.lr = .05, .momentum = .9, .weight_decay = 5e-4},
        {.lr = .05, .momentum = .9, .weight_decay = 5e-4, .nesterov = true},
    };

    for (size_t r = 0; r < ARRAY_LEN(rows); r++)
        check("sgd", &rows[r], sgd_by_definition);
}
END_TEST

START_TEST(adamw_is_pytorchs)
{
    static const struct optim_hyper rows[] = {
        {.lr = .01, .beta1 = .9, .beta2 = .999, .epsilon = 1e-8},
        {.lr = .005, .beta1 = .9, .beta2 = .95, .epsilon = 1e-8, .weight_decay = .3},
        {.lr = .01, .beta1 = 0, .beta2 = .5, .epsilon = .1, .weight_decay = .01},
    };

    for (size_t r = 0; r < ARRAY_LEN(rows); r++)
        check("adamw", &rows[r], adamw_by_definition);
}
END_TEST

/* A constant gradient moves a parameter by lr, whatever the optimiser does with its size. */
START_TEST(steps_below_a_floats_last_bit_are_not_lost)
{
    for (size_t k = 0; k < optim_registry_len; k++) {
        const struct optim_def *def = &optim_registry[k];
        struct optim_hyper h = {.lr = 1e-9, .beta1 = .9, .beta2 = .999, .epsilon = 1e-12};
        float p = 1, g = 1, state[OPTIM_MAX_STATES] = {0};
        float *const states[OPTIM_MAX_STATES] = {&state[0], &state[1], &state[2]};

        for (h.step = 1; h.step <= 1000; h.step++)
            def->update(&p, &g, states, 1, &h);
        ck_assert_msg(fabs((double)p - (1 - 1e-6)) <= 6e-8, "%s: %.9g", def->name, (double)p);
    }
}
END_TEST

/* The bits of a parameter must not depend on where in the region it stands. */
START_TEST(neighbours_do_not_change_a_bit)
{
    static const struct optim_hyper rows[] = {
        {.lr = .05,
         .momentum = .9,
         .weight_decay = 5e-4,
         .beta1 = .9,
         .beta2 = .99,
         .epsilon = 1e-8},
        {.lr = .03, .momentum = .7, .nesterov = true, .beta1 = .5, .beta2 = .9, .epsilon = 1e-3},
    };

    for (size_t k = 0; k < optim_registry_len; k++)
        for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
            double from[N];
            float all[N], alone[N];

            start(from);
            for (int i = 0; i < N; i++)
                all[i] = alone[i] = (float)from[i];
            by_optimiser(optim_registry[k].name, &rows[r], 20, all);
            one_by_one(optim_registry[k].name, &rows[r], 20, alone);
            for (int i = 0; i < N; i++)
                ck_assert_msg(all[i] == alone[i], "%s, row %zu, element %d: %a, alone %a",
                              optim_registry[k].name, r, i, (double)all[i], (double)alone[i]);
        }
}
END_TEST

START_TEST(the_norm_is_that_of_all_elements)
{
    static const size_t sizes[] = {1, 15, 37, 65536, 65536 + 19, 200003};

    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        float *g = NEW_ARRAY(float, sizes[k]);
        long double sum = 0;

        for (size_t i = 0; i < sizes[k]; i++) {
            g[i] = (float)(2 * rng_uniform(7, i) - 1);
            sum += (long double)g[i] * g[i];
        }
        ck_assert_double_eq_tol(grad_norm(g, sizes[k]), sqrt((double)sum), 1e-12 * (double)sum);
        g[sizes[k] - 1] = INFINITY;
        ck_assert(!isfinite(grad_norm(g, sizes[k])));
        free(g);
    }
}
END_TEST

static double rate(const char *kind, double warmup, int64_t step)
{
    static const int32_t milestones[] = {150, 180, 210};
    const struct schedule_args a = {.milestones = milestones,
                                    .n_milestones = 3,
                                    .gamma = .1,
                                    .warmup_epochs = warmup,
                                    .steps_per_epoch = 391,
                                    .total_steps = 240 * 391};

    return schedule_lr(schedule_find(kind), &a, .1, step);
}

START_TEST(cifars_rate_falls_at_the_start_of_its_epochs)
{
    ck_assert_double_eq_tol(rate("multistep", 0, 0), .1, 1e-15);
    ck_assert_double_eq_tol(rate("multistep", 0, 150 * 391 - 1), .1, 1e-15);
    ck_assert_double_eq_tol(rate("multistep", 0, 150 * 391), .01, 1e-15);
    ck_assert_double_eq_tol(rate("multistep", 0, 180 * 391), .001, 1e-15);
    ck_assert_double_eq_tol(rate("multistep", 0, 210 * 391), .0001, 1e-15);
}
END_TEST

START_TEST(warm_up_ends_at_the_full_rate)
{
    for (int64_t step = 0; step < 2 * 391; step++)
        ck_assert_double_eq_tol(rate("constant", 2, step), .1 * (double)(step + 1) / (2 * 391),
                                1e-15);
    ck_assert_double_eq_tol(rate("constant", 2, 2 * 391), .1, 1e-15);
}
END_TEST

START_TEST(cosine_starts_full_passes_half_and_ends_near_nothing)
{
    ck_assert_double_eq_tol(rate("cosine", 0, 0), .1, 1e-15);
    ck_assert_double_eq_tol(rate("cosine", 0, 120 * 391), .05, 1e-12);
    ck_assert_double_le(rate("cosine", 0, 240 * 391 - 1), 1e-9);
}
END_TEST

/* DeiT's: 20 epochs up to 8e-4, then down to 1e-6 at the end of 300; half of the way at epoch 160. */
START_TEST(cosine_follows_the_warm_up_and_ends_at_its_least)
{
    const struct schedule_def *cosine = schedule_find("cosine");
    const struct schedule_args a = {
        .least = 1e-6 / 8e-4, .warmup_epochs = 20, .steps_per_epoch = 10, .total_steps = 3000};

    ck_assert_double_eq_tol(schedule_lr(cosine, &a, 8e-4, 0), 8e-4 / 200, 1e-18);
    ck_assert_double_eq_tol(schedule_lr(cosine, &a, 8e-4, 199), 8e-4, 1e-18);
    ck_assert_double_eq_tol(schedule_lr(cosine, &a, 8e-4, 200), 8e-4, 1e-18);
    ck_assert_double_eq_tol(schedule_lr(cosine, &a, 8e-4, 1600), (8e-4 + 1e-6) / 2, 1e-15);
    ck_assert_double_ge(schedule_lr(cosine, &a, 8e-4, 2999), 1e-6);
    ck_assert_double_le(schedule_lr(cosine, &a, 8e-4, 2999), 1.001e-6);
    for (int64_t step = 200; step < 2999; step++)
        ck_assert(schedule_lr(cosine, &a, 8e-4, step + 1) < schedule_lr(cosine, &a, 8e-4, step));
}
END_TEST

/* Whatever is registered gives a finite factor between 0 and 1 in every step. */
START_TEST(every_schedule_stays_between_0_and_1)
{
    static const int32_t milestones[] = {1, 3};
    const struct schedule_args a = {.milestones = milestones,
                                    .n_milestones = 2,
                                    .gamma = .5,
                                    .least = .01,
                                    .warmup_epochs = 1,
                                    .steps_per_epoch = 10,
                                    .total_steps = 50};

    for (size_t i = 0; i < schedule_registry_len; i++)
        for (int64_t step = 0; step < 50; step++) {
            double f = schedule_registry[i].factor(&a, step);

            ck_assert_msg(f >= 0 && f <= 1, "%s, step %lld: %g", schedule_registry[i].name,
                          (long long)step, f);
        }
}
END_TEST

UNIT_MAIN(sgd_is_pytorchs, adamw_is_pytorchs, steps_below_a_floats_last_bit_are_not_lost,
          cifars_rate_falls_at_the_start_of_its_epochs, warm_up_ends_at_the_full_rate,
          cosine_starts_full_passes_half_and_ends_near_nothing,
          cosine_follows_the_warm_up_and_ends_at_its_least, neighbours_do_not_change_a_bit,
          the_norm_is_that_of_all_elements, every_schedule_stays_between_0_and_1)
