/* The optimiser against PyTorch's definition, written down once more in double, and the schedules against
 * the rates of the recipes. */
#include <math.h>
#include <stdlib.h>

#include "proto/base/rng.h"
#include "tests/unit/unit.h"
#include "worker/optim/optim.h"

enum {
    N = 37 /* no multiple of a vector: the tail counts */
};

static double gradient(int step, int i)
{
    return (double)(float)(2 * rng_uniform(rng_key(5, (uint64_t)step), (uint64_t)i) - 1);
}

/* torch.optim.SGD: the momentum buffer starts as the first gradient. */
static void by_definition(const struct optim_hyper *h, int steps, double *p)
{
    double b[N] = {0};

    for (int s = 0; s < steps; s++)
        for (int i = 0; i < N; i++) {
            double g = gradient(s, i) + h->weight_decay * p[i];

            b[i] = s ? h->momentum * b[i] + g : g;
            p[i] -= h->lr * (h->nesterov ? g + h->momentum * b[i] : b[i]);
        }
}

static void start(double *p)
{
    for (int i = 0; i < N; i++)
        p[i] = (double)(float)(rng_uniform(1, (uint64_t)i) - .5);
}

static void by_optimiser(const struct optim_hyper *h, int steps, float *p)
{
    const struct optim_def *sgd = optim_find("sgd");
    float state[OPTIM_MAX_STATES][N] = {{0}}, *const states[] = {state[0], state[1]}, g[N];

    for (int s = 0; s < steps; s++) {
        for (int i = 0; i < N; i++)
            g[i] = (float)gradient(s, i);
        sgd->update(p, g, states, N, h);
    }
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

    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        double want[N];
        float got[N];

        start(want);
        for (int i = 0; i < N; i++)
            got[i] = (float)want[i];
        by_definition(&rows[r], 20, want);
        by_optimiser(&rows[r], 20, got);
        for (int i = 0; i < N; i++)
            ck_assert_msg(fabs((double)got[i] - want[i]) <= 3e-7 * (1 + fabs(want[i])),
                          "row %zu, element %d: %.9g, not %.9g", r, i, (double)got[i], want[i]);
    }
}
END_TEST

START_TEST(steps_below_a_floats_last_bit_are_not_lost)
{
    const struct optim_hyper h = {.lr = 1e-9};
    const struct optim_def *sgd = optim_find("sgd");
    float p = 1, g = 1, momentum = 0, low = 0, *const states[] = {&momentum, &low};

    for (int s = 0; s < 1000; s++)
        sgd->update(&p, &g, states, 1, &h);
    ck_assert_double_eq_tol((double)p, 1 - 1e-6, 6e-8);
}
END_TEST

static double rate(const char *kind, double warmup, int64_t step)
{
    static const int32_t milestones[] = {150, 180, 210};
    const struct schedule_args a = {milestones, 3, .1, 391, 240 * 391};

    return schedule_lr(schedule_find(kind), &a, .1, warmup, step);
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

/* Whatever is registered gives a finite factor between 0 and 1 in every step. */
START_TEST(every_schedule_stays_between_0_and_1)
{
    static const int32_t milestones[] = {1, 3};
    const struct schedule_args a = {milestones, 2, .5, 10, 50};

    for (size_t i = 0; i < schedule_registry_len; i++)
        for (int64_t step = 0; step < 50; step++) {
            double f = schedule_registry[i].factor(&a, step);

            ck_assert_msg(f >= 0 && f <= 1, "%s, step %lld: %g", schedule_registry[i].name,
                          (long long)step, f);
        }
}
END_TEST

UNIT_MAIN(sgd_is_pytorchs, steps_below_a_floats_last_bit_are_not_lost,
          cifars_rate_falls_at_the_start_of_its_epochs, warm_up_ends_at_the_full_rate,
          cosine_starts_full_passes_half_and_ends_near_nothing,
          every_schedule_stays_between_0_and_1)
