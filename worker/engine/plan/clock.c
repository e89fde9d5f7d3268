#include "worker/engine/plan/clock.h"

#include "proto/base/clock.h"

void plan_clock_set(struct plan *p, struct plan_clock *clock)
{
    if (p)
        p->clock = clock;
}

void plan_clock_reset(struct plan_clock *clock)
{
    clock->spans.n = 0;
}

void plan_clock_free(struct plan_clock *clock)
{
    vec_free(&clock->spans);
}

/* A step begins when the one before has ended: reading the clock once a step is enough, and no time is
 * lost between them. */
void plan_clock_run(const struct plan *p, const struct step *steps, size_t n)
{
    int64_t now = clock_mono_ns();

    for (size_t i = 0; i < n; i++) {
        struct plan_span span = {.plan = p, .step = &steps[i], .began_ns = now};

        plan_run_step(p, &steps[i]);
        span.ended_ns = now = clock_mono_ns();
        vec_push(&p->clock->spans, span);
    }
}
