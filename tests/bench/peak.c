#define _GNU_SOURCE
#include "tests/bench/peak.h"

#include <pthread.h>

#include "proto/base/clock.h"
#include "proto/base/error.h"
#include "proto/base/vec.h"

enum {
    CHAINS =
        12, /* independent sums: more than latency times instructions a cycle, and fewer than registers */
    ROUNDS = 20000
};

/* Compiled with contraction, so that a product and a sum are one instruction. x stays about 1. */
#define EACH(what)                                                                           \
    what(0) what(1) what(2) what(3) what(4) what(5) what(6) what(7) what(8) what(9) what(10) \
        what(11)
#define START(i) vec x##i = one * (1 + 0.001f * (i));
#define STEP(i)  x##i = x##i * scale + shift;
#define SUM(i)   total += x##i;
#define BURST(name, isa, bytes)                                \
    __attribute__((target(isa))) static float name(void)       \
    {                                                          \
        typedef float vec __attribute__((vector_size(bytes))); \
        const vec one = (vec){0} + 1, scale = one * 0.999f;    \
        const vec shift = one * 0.001f;                        \
        vec total = (vec){0};                                  \
                                                               \
        EACH(START)                                            \
        for (int i = 0; i < ROUNDS; i++) {                     \
            EACH(STEP)                                         \
        }                                                      \
        EACH(SUM)                                              \
        return total[0];                                       \
    }

#if defined(__x86_64__)
BURST(burst_avx512, "avx512f", 64)
BURST(burst_avx2, "avx2,fma", 32)
BURST(burst_sse, "sse2", 16)

static const struct burst {
    float (*run)(void);
    int floats; /* in a vector */
} bursts[] = {{burst_avx512, 16}, {burst_avx2, 8}, {burst_sse, 4}};

static const struct burst *widest(void)
{
    if (__builtin_cpu_supports("avx512f"))
        return &bursts[0];
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &bursts[1]
                                                                           : &bursts[2];
}
#else
#    error "only for x86-64"
#endif

struct worker {
    pthread_t thread;
    double until_s;
    double flops, best; /* all that it did; the highest rate of a burst */
    float result;       /* nobody reads it, but it has to be computed */
};

static void *work(void *arg)
{
    struct worker *w = arg;
    const struct burst *b = widest();
    const double flops = 2.0 * CHAINS * ROUNDS * b->floats;

    for (double began = clock_mono_s(), now; began < w->until_s; began = now) {
        w->result += b->run();
        now = clock_mono_s();
        w->flops += flops;
        if (flops / (now - began) > w->best)
            w->best = flops / (now - began);
    }
    return NULL;
}

/* Sums over all threads. */
static struct worker run(int threads, double seconds)
{
    struct worker *workers = NEW_ARRAY(struct worker, (size_t)threads), sum = {0};
    double until = clock_mono_s() + seconds;

    for (int i = 0; i < threads; i++) {
        workers[i].until_s = until;
        ASSERT(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        sum.flops += workers[i].flops;
        sum.best += workers[i].best;
    }
    free(workers);
    return sum;
}

double peak_gflops(int threads, double seconds)
{
    double began = clock_mono_s();
    struct worker sum = run(threads, seconds);

    return sum.flops / (clock_mono_s() - began) * 1e-9;
}

double peak_best_gflops(int threads, double seconds)
{
    return run(threads, seconds).best * 1e-9;
}
