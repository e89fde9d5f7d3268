/* Quantiles of norms: exact over a batch, within a bin's width over an epoch, the same in any order. */
#include <math.h>
#include <string.h>

#include "proto/base/rng.h"
#include "tests/unit/unit.h"
#include "worker/norms.h"

enum {
    N = 500
};
static const double qs[] = {0, 0.1, 0.25, 0.5, 0.9, 1};

/* Log-normal around 20, as norms of features are. */
static void random_norms(double *x, uint64_t seed)
{
    for (uint64_t i = 0; i < N; i++)
        x[i] = 20 * exp(rng_uniform(seed, 2 * i) + rng_uniform(seed, 2 * i + 1) - 1);
}

START_TEST(quantiles_of_a_batch_are_those_of_its_sorted_values)
{
    double x[] = {4, 1, 3, 2, 10};

    norms_sort(x, 5);
    ck_assert_double_eq(norms_quantile(x, 5, 0), 1);
    ck_assert_double_eq(norms_quantile(x, 5, 0.5), 3);
    ck_assert_double_eq_tol(norms_quantile(x, 5, 0.9), 4 + 0.6 * 6, 1e-12);
    ck_assert_double_eq(norms_quantile(x, 5, 1), 10);
    ck_assert_double_eq(norms_quantile(x, 1, 0.9), 1);
}
END_TEST

START_TEST(a_histogram_is_right_within_the_width_of_a_bin)
{
    for (uint64_t round = 0; round < 50; round++) {
        struct norms h = {{0}};
        double x[N];

        random_norms(x, rng_key(unit_seed(), round));
        for (int i = 0; i < N; i++)
            norms_add(&h, x[i]);
        norms_sort(x, N);
        for (size_t k = 0; k < ARRAY_LEN(qs); k++) {
            int64_t at = (int64_t)(qs[k] * (N - 1));
            double got = norms_histogram_quantile(&h, qs[k]);

            ck_assert_msg(got > x[at] / 1.023 && got < x[at] * 1.023, "round %d, q %g: %g, not %g",
                          (int)round, qs[k], got, x[at]);
        }
    }
}
END_TEST

START_TEST(the_order_of_samples_does_not_show)
{
    struct norms forth = {{0}}, back = {{0}};
    double x[N];

    random_norms(x, unit_seed());
    for (int i = 0; i < N; i++) {
        norms_add(&forth, x[i]);
        norms_add(&back, x[N - 1 - i]);
    }
    ck_assert(memcmp(&forth, &back, sizeof(forth)) == 0);
}
END_TEST

/* Everything is counted once: what no bin holds goes to the ends; each octave begins a bin. */
START_TEST(every_value_has_a_bin)
{
    const struct {
        double norm;
        int bin;
    } rows[] = {
        {0, 0},
        {ldexp(1, NORMS_LOWEST) * (1 - 1e-15), 0},
        {ldexp(1, NORMS_LOWEST), 1},
        {1, 1 - NORMS_LOWEST * NORMS_PER_OCTAVE},
        {1.0218, 1 - NORMS_LOWEST * NORMS_PER_OCTAVE},
        {1.0219, 2 - NORMS_LOWEST * NORMS_PER_OCTAVE},
        {2 * (1 - 1e-15), (1 - NORMS_LOWEST) * NORMS_PER_OCTAVE},
        {2, 1 + (1 - NORMS_LOWEST) * NORMS_PER_OCTAVE},
        {ldexp(1, NORMS_HIGHEST) * (1 - 1e-15), NORMS_BINS - 2},
        {ldexp(1, NORMS_HIGHEST), NORMS_BINS - 1},
        {(double)INFINITY, NORMS_BINS - 1},
        {(double)NAN, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct norms h = {{0}};

        norms_add(&h, rows[i].norm);
        ck_assert_msg(h.counts[rows[i].bin] == 1, "%g is not in bin %d", rows[i].norm, rows[i].bin);
        ck_assert_msg(isfinite(norms_histogram_quantile(&h, 0.5)), "%g", rows[i].norm);
    }
}
END_TEST

UNIT_MAIN(quantiles_of_a_batch_are_those_of_its_sorted_values,
          a_histogram_is_right_within_the_width_of_a_bin, the_order_of_samples_does_not_show,
          every_value_has_a_bin)
