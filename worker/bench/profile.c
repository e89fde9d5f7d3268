/* Where the time of a step goes: steps of their own, because reading a clock costs something too. */
#include <string.h>

#include "proto/base/clock.h"
#include "worker/bench/bench.h"

enum {
    STEPS = 3
};

static void set_clocks(const struct replica *r, struct plan_clock *clock)
{
    for (int form = 0; r->teacher && form < TEACHER_FORMS; form++)
        plan_clock_set(r->teacher->plans[form], clock);
    plan_clock_set(r->eval, clock);
    for (size_t i = 0; i < r->cfg.n_lane_sizes; i++)
        plan_clock_set(r->train[i], clock);
    for (size_t i = 0; r->whole && i < r->whole->n_sizes; i++)
        plan_clock_set(r->whole->plans[i], clock);
}

static struct bench_op *op_of(struct bench_figures *f, const char *name)
{
    for (size_t i = 0; i < f->ops.n; i++)
        if (strcmp(f->ops.at[i].name, name) == 0)
            return &f->ops.at[i];
    vec_push(&f->ops, (struct bench_op){.name = name});
    return &f->ops.at[f->ops.n - 1];
}

static void gather(struct bench_figures *f, const struct plan_clock *clock)
{
    for (size_t i = 0; i < clock->spans.n; i++) {
        const struct plan_span *span = &clock->spans.at[i];
        struct bench_op *op = op_of(f, span->step->op);

        op->seconds += (double)(span->ended_ns - span->began_ns) * 1e-9;
        op->flops += span->step->flops;
        f->flops += span->step->flops;
    }
}

static void sort(struct bench_figures *f)
{
    for (size_t i = 1; i < f->ops.n; i++) {
        struct bench_op op = f->ops.at[i];
        size_t at = i;

        for (; at > 0 && f->ops.at[at - 1].seconds < op.seconds; at--)
            f->ops.at[at] = f->ops.at[at - 1];
        f->ops.at[at] = op;
    }
}

bool bench_profile(struct bench_rig *r, struct plan_clock *clock, struct bench_figures *f,
                   struct error *err)
{
    int64_t images = r->images;
    bool ok = true;

    set_clocks(r->s.replica, clock);
    for (int i = 0; ok && i < STEPS; i++) {
        double began = clock_mono_s();

        plan_clock_reset(clock);
        ok = bench_rig_step(r, err);
        f->profiled_s += clock_mono_s() - began;
        gather(f, clock);
    }
    set_clocks(r->s.replica, NULL);
    if (!ok)
        return false;
    bench_rig_sum(r, &f->flops);
    f->flops /= (double)(r->images - images);
    sort(f);
    return true;
}
