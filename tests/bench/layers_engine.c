/* A pass as a plan of one node; what stands around it (inputs and outputs are plain, so there are reorders)
 * is not counted. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "tests/bench/layers.h"
#include "worker/engine/passes/compile.h"
#include "worker/engine/plan/clock.h"

struct engine {
    struct backend *backend;
    struct flat flat;
    struct plan *plan;
    struct plan_clock clock;
    void *regions[REGION_COUNT];
};

static value_id weights(struct graph *g, const struct layer *l)
{
    return graph_param(g, "w", ROLE_CONV_WEIGHT, l->w);
}

static value_id frozen(struct graph *g, const struct layer *l)
{
    struct conv_attr attr = l->attr;
    value_id in[] = {graph_input(g, "x", DT_REAL, l->x), weights(g, l),
                     graph_param(g, "b", ROLE_BIAS, shape1(l->w.dim[0]))};

    attr.relu = 1;
    return graph_add(g, &op_fused_conv, "", in, 3, &attr);
}

static value_id forward(struct graph *g, const struct layer *l)
{
    value_id in[] = {graph_input(g, "x", DT_REAL, l->x), weights(g, l)};

    return graph_add(g, &op_conv, "", in, 2, &l->attr);
}

static value_id input_grad(struct graph *g, const struct layer *l)
{
    value_id in[] = {weights(g, l), graph_input(g, "dy", DT_REAL, l->y)};

    return graph_add(g, &op_conv_input_grad, "", in, 2, &l->attr);
}

static value_id weight_grad(struct graph *g, const struct layer *l)
{
    value_id in[] = {graph_input(g, "x", DT_REAL, l->x), graph_input(g, "dy", DT_REAL, l->y)};

    return graph_add(g, &op_conv_weight_grad, "", in, 2, &l->attr);
}

static value_id (*const build[PASS_COUNT])(struct graph *, const struct layer *) = {
    frozen, forward, input_grad, weight_grad};

static bool is_reorder(const struct step *s)
{
    return strcmp(s->op, "Reorder") == 0;
}

static double run(void *state)
{
    struct engine *e = state;
    int64_t ns = 0;

    plan_clock_reset(&e->clock);
    plan_run(e->plan);
    for (size_t i = 0; i < e->clock.spans.n; i++) {
        const struct plan_span *s = &e->clock.spans.at[i];

        if (!is_reorder(s->step))
            ns += s->ended_ns - s->began_ns;
    }
    return (double)ns * 1e-9;
}

static void free_engine(void *state)
{
    struct engine *e = state;

    for (size_t i = 0; e->plan && i < e->plan->io.n; i++)
        free(e->plan->io.at[i].bound);
    for (int i = 0; i < REGION_COUNT; i++)
        free(e->regions[i]);
    plan_free(e->plan);
    plan_clock_free(&e->clock);
    flat_free(&e->flat);
    backend_close(e->backend);
    free(e);
}

static float *random_floats(size_t bytes)
{
    float *p = mem_try_aligned(64, bytes);

    ASSERT(p);
    for (size_t i = 0; i < bytes / sizeof(float); i++)
        p[i] = (float)(rng_uniform(1, i) - 0.5);
    return p;
}

static void set_region(struct engine *e, enum region which, size_t bytes)
{
    e->regions[which] = random_floats(bytes);
    plan_set_region(e->plan, which, e->regions[which]);
}

static void allocate(struct engine *e)
{
    set_region(e, REGION_ARENA, e->plan->arena_bytes);
    set_region(e, REGION_PARAMS, e->flat.param_count * sizeof(float));
    set_region(e, REGION_BUFFERS, e->flat.buffer_count * sizeof(float));
    set_region(e, REGION_GRADS, flat_grad_count(&e->flat) * sizeof(float));
    for (size_t i = 0; i < e->plan->io.n; i++)
        plan_bind(e->plan, (int)i, random_floats(e->plan->io.at[i].bytes));
    plan_prepare(e->plan);
    plan_clock_set(e->plan, &e->clock);
}

static const char *kernel_of(const struct plan *p)
{
    for (size_t i = 0; i < p->steps.n; i++)
        if (!is_reorder(&p->steps.at[i]))
            return p->steps.at[i].kernel->impl;
    return "";
}

bool runner_engine(struct runner *r, const struct layer *l, enum pass pass, int threads,
                   struct error *err)
{
    struct engine *e = NEW(struct engine);
    struct graph *g = graph_new();

    graph_mark_output(g, build[pass](g, l), "out");
    *r = (struct runner){.run = run, .free = free_engine, .state = e};
    e->backend = backend_open("cpu", threads, err);
    if (!e->backend) {
        graph_free(g);
        return false;
    }
    e->plan = compile(g, &(struct compile_options){.backend = e->backend, .flat = &e->flat}, err);
    if (!e->plan)
        return false;
    allocate(e);
    r->impl = kernel_of(e->plan);
    return true;
}
