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

void plan_clock_step(const struct plan *p, const struct step *s, void *const *args)
{
    struct plan_span span = {.plan = p, .step = s, .began_ns = clock_mono_ns()};

    s->kernel->run(s->kernel, args);
    span.ended_ns = clock_mono_ns();
    vec_push(&p->clock->spans, span);
}
