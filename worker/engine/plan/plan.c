#include "worker/engine/plan/plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void free_steps(struct step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (steps[i].kernel)
            steps[i].kernel->free(steps[i].kernel);
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
    vec_free(&p->prepare);
    vec_free(&p->steps);
    vec_free(&p->io);
    free(p->base[REGION_FIXED]);
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

    for (int i = 0; i < s->n_args; i++)
        args[i] = s->args[i].region == REGION_IO
                      ? p->io.at[s->args[i].offset].bound
                      : (char *)p->base[s->args[i].region] + s->args[i].offset;
    s->kernel->run(s->kernel, args);
}

void plan_prepare(struct plan *p)
{
    for (size_t i = 0; i < p->prepare.n; i++)
        run_step(p, &p->prepare.at[i]);
}

void plan_run(struct plan *p)
{
    for (size_t i = 0; i < p->io.n; i++)
        ASSERT(p->io.at[i].bound);
    for (size_t i = 0; i < p->steps.n; i++)
        run_step(p, &p->steps.at[i]);
}

static void describe_steps(const char *title, const struct step *steps, size_t n, struct buf *out)
{
    if (n)
        buf_fmt(out, "%s\n", title);
    for (size_t i = 0; i < n; i++)
        buf_fmt(out, "  %4zu  %9.3f MB  %-24s %s\n", i, (double)steps[i].live_bytes / 1e6,
                steps[i].kernel->impl, steps[i].text);
}

void plan_describe(const struct plan *p, struct buf *out)
{
    size_t io = 0;

    describe_steps("when parameters change", p->prepare.at, p->prepare.n, out);
    describe_steps("each run (arena alive, implementation, node)", p->steps.at, p->steps.n, out);
    for (size_t i = 0; i < p->io.n; i++) {
        char text[SHAPE_TEXT];

        io += p->io.at[i].bytes;
        buf_fmt(out, "  %-6s %s %s\n", p->io.at[i].is_output ? "output" : "input", p->io.at[i].name,
                shape_text(&p->io.at[i].shape, text));
    }
    buf_fmt(out,
            "memory: arena %.3f MB (without sharing %.3f MB), constants and prepared weights %.3f "
            "MB, inputs and outputs %.3f MB\n",
            (double)p->arena_bytes / 1e6, (double)p->arena_sum / 1e6, (double)p->fixed_bytes / 1e6,
            (double)io / 1e6);
    if (p->steps.n)
        buf_fmt(out, "peak: %.3f MB at step %d: %s\n", (double)p->peak_bytes / 1e6, p->peak_step,
                p->steps.at[p->peak_step].text);
}
