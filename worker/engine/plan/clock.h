/* When each step of plans began and ended. A plan has no clock unless somebody measures. */
#ifndef WORKER_ENGINE_PLAN_CLOCK_H
#define WORKER_ENGINE_PLAN_CLOCK_H

#include "worker/engine/plan/plan.h"

/* Names belong to the plan, which must stay. */
struct plan_span {
    const struct plan *plan;
    const struct step *step;
    int64_t began_ns, ended_ns; /* clock_mono_ns() */
};

struct plan_clock {
    VEC(struct plan_span) spans; /* in the order in which steps ran */
};

/* From now on every step that the plan runs is appended to the clock, which may serve any number of plans
 * of one thread. NULL: no longer. Does nothing for p NULL. */
void plan_clock_set(struct plan *p, struct plan_clock *clock);
/* Forgets the spans, keeps the room. */
void plan_clock_reset(struct plan_clock *clock);
void plan_clock_free(struct plan_clock *clock);

/* plan.c: runs the kernel of a step of a plan with a clock. */
void plan_clock_step(const struct plan *p, const struct step *s, void *const *args);

#endif
