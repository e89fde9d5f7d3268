/* The memory planner as a property: whatever is alive together lies apart. */
#include "proto/base/rng.h"
#include "tests/unit/unit.h"
#include "worker/engine/passes/memory.h"

enum {
    VALUES = 64,
    STEPS = 40
};

static void random_intervals(struct interval *v, uint64_t seed)
{
    for (uint64_t i = 0; i < VALUES; i++) {
        int a = (int)rng_below(seed, 4 * i, STEPS), b = (int)rng_below(seed, 4 * i + 1, STEPS);

        v[i] = (struct interval){.first = a < b ? a : b,
                                 .last = a < b ? b : a,
                                 .size = 1 + (size_t)rng_below(seed, 4 * i + 2, 5000)};
    }
}

static bool apart_in_time(const struct interval *a, const struct interval *b)
{
    return a->last < b->first || b->last < a->first;
}

static bool apart_in_space(const struct interval *a, const struct interval *b)
{
    return a->offset + a->size <= b->offset || b->offset + b->size <= a->offset;
}

START_TEST(live_values_never_overlap)
{
    for (uint64_t graph = 0; graph < 300; graph++) {
        struct interval v[VALUES];
        size_t total;

        random_intervals(v, rng_key(unit_seed(), graph));
        total = memory_plan(v, VALUES);
        for (size_t a = 0; a < VALUES; a++) {
            ck_assert_uint_eq(v[a].offset % MEMORY_ALIGN, 0);
            ck_assert_uint_le(v[a].offset + v[a].size, total);
            for (size_t b = a + 1; b < VALUES; b++)
                ck_assert_msg(apart_in_time(&v[a], &v[b]) || apart_in_space(&v[a], &v[b]),
                              "graph %d: %zu and %zu of %zu bytes", (int)graph, a, b, total);
        }
    }
}
END_TEST

/* The most that is alive at one time, which no plan can do without. */
static size_t alive_at_most(const struct interval *v)
{
    size_t most = 0;

    for (int step = 0; step < STEPS; step++) {
        size_t sum = 0;

        for (size_t i = 0; i < VALUES; i++)
            sum += v[i].first <= step && step <= v[i].last ? v[i].size : 0;
        most = sum > most ? sum : most;
    }
    return most;
}

START_TEST(memory_is_shared)
{
    struct interval v[VALUES];
    size_t total, sum = 0, least;

    random_intervals(v, unit_seed());
    total = memory_plan(v, VALUES);
    least = alive_at_most(v);
    for (size_t i = 0; i < VALUES; i++)
        sum += v[i].size;
    ck_assert_uint_ge(total, least);
    ck_assert_msg(total <= least * 5 / 4, "%zu bytes; %zu are alive at most, of %zu", total, least,
                  sum);
}
END_TEST

UNIT_MAIN(live_values_never_overlap, memory_is_shared)
