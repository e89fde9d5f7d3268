#include "worker/engine/plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "worker/engine/plan/clock.h"

static void free_steps(struct step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (steps[i].kernel)
            steps[i].kernel->free(steps[i].kernel);
        free(steps[i].layer);
        free(steps[i].text);
    }
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
    free_steps(p->prepare.at, p->prepare.n);
    free_steps(p->steps.at, p->steps.n);
    for (size_t i = 0; i < p->io.n; i++)
        free(p->io.at[i].name);
    for (size_t i = 0; i < p->alive.n; i++)
        free(p->alive.at[i].text);
    vec_free(&p->alive);
    vec_free(&p->prepare);
    vec_free(&p->steps);
    vec_free(&p->io);
    free(p->base[REGION_FIXED]);
    free(p->title);
    free(p);
}

void plan_set_region(struct plan *p, enum region region, void *base)
{
    ASSERT(region != REGION_FIXED && region != REGION_IO);
    p->base[region] = base;
}

int plan_io_find(const struct plan *p, const char *name)
{
    for (size_t i = 0; i < p->io.n; i++)
        if (strcmp(p->io.at[i].name, name) == 0)
            return (int)i;
    return -1;
}

void plan_bind(struct plan *p, int io, const void *data)
{
    p->io.at[io].bound = (void *)(uintptr_t)data;
}

void plan_bind_name(struct plan *p, const char *name, const void *data)
{
    int io = plan_io_find(p, name);

    if (io >= 0)
        plan_bind(p, io, data);
}

static void run_step(const struct plan *p, const struct step *s)
{
    void *args[NODE_MAX_IN + NODE_MAX_OUT + 1];

    for (int i = 0; i < s->n_in + s->n_out + 1; i++)
        args[i] = s->args[i].region == REGION_IO
                      ? p->io.at[s->args[i].offset].bound
                      : (char *)p->base[s->args[i].region] + s->args[i].offset;
    if (p->clock)
        plan_clock_step(p, s, args);
    else
        s->kernel->run(s->kernel, args);
    if (p->watch)
        plan_watch_step(p, s, args);
}

void plan_prepare(struct plan *p)
{
    for (size_t i = 0; i < p->prepare.n; i++)
        run_step(p, &p->prepare.at[i]);
    p->stale = false;
}

void plan_stale(struct plan *p)
{
    p->stale = true;
}

static void run_first(struct plan *p, size_t n)
{
    for (size_t i = 0; i < p->io.n; i++)
        ASSERT(p->io.at[i].bound);
    if (p->stale)
        plan_prepare(p);
    if (p->watch)
        plan_watch_inputs(p);
    for (size_t i = 0; i < n; i++) {
        run_step(p, &p->steps.at[i]);
        if (p->grads.final)
            p->grads.final(p->grads.arg, p->steps.at[i].final_from);
    }
}

void plan_run(struct plan *p)
{
    run_first(p, p->steps.n);
}

static bool writes(const struct step *s, int io)
{
    for (int i = s->n_in; i < s->n_in + s->n_out; i++)
        if (s->args[i].region == REGION_IO && s->args[i].offset == (size_t)io)
            return true;
    return false;
}

void plan_run_to(struct plan *p, int io)
{
    size_t n = p->steps.n;

    while (n > 0 && !writes(&p->steps.at[n - 1], io))
        n--;
    run_first(p, n);
}
