#define _GNU_SOURCE
#include "tests/bench/peak.h"

#include <pthread.h>
#include <stdatomic.h>

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
    double flops;
    float result; /* nobody reads it, but it has to be computed */
};

static void *work(void *arg)
{
    struct worker *w = arg;
    const struct burst *b = widest();

    while (clock_mono_s() < w->until_s) {
        w->result += b->run();
        w->flops += 2.0 * CHAINS * ROUNDS * b->floats;
    }
    return NULL;
}

double peak_gflops(int threads, double seconds)
{
    struct worker *workers = NEW_ARRAY(struct worker, (size_t)threads);
    double began = clock_mono_s(), flops = 0, took;

    for (int i = 0; i < threads; i++) {
        workers[i].until_s = began + seconds;
        ASSERT(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        flops += workers[i].flops;
    }
    took = clock_mono_s() - began;
    free(workers);
    return flops / took * 1e-9;
}
