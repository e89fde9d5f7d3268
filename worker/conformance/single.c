#include "worker/conformance/single.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

static float *region(size_t n)
{
    return mem_try_aligned(64, n * sizeof(float));
}

bool single_open(struct single *s, struct graph *take_graph, const char *backend, struct error *err)
{
    struct compile_options options = {.flat = &s->flat};

    *s = (struct single){0};
    s->backend = backend_open(backend, 1, err);
    if (!s->backend) {
        graph_free(take_graph);
        return false;
    }
    options.backend = s->backend;
    s->plan = compile(take_graph, &options, err);
    if (!s->plan) {
        single_close(s);
        return false;
    }
    s->arena = mem_try_aligned(64, s->plan->arena_bytes);
    s->params = region(s->flat.param_count);
    s->buffers = region(s->flat.buffer_count);
    s->grads = region(flat_grad_count(&s->flat));
    plan_set_region(s->plan, REGION_ARENA, s->arena);
    plan_set_region(s->plan, REGION_PARAMS, s->params);
    plan_set_region(s->plan, REGION_BUFFERS, s->buffers);
    plan_set_region(s->plan, REGION_GRADS, s->grads);
    for (size_t i = 0; i < s->plan->io.n; i++)
        plan_bind(s->plan, (int)i, mem_try_aligned(64, s->plan->io.at[i].bytes));
    return true;
}

void single_close(struct single *s)
{
    for (size_t i = 0; s->plan && i < s->plan->io.n; i++)
        free(s->plan->io.at[i].bound);
    plan_free(s->plan);
    backend_close(s->backend);
    flat_free(&s->flat);
    free(s->arena);
    free(s->params);
    free(s->buffers);
    free(s->grads);
    *s = (struct single){0};
}

void single_set(struct single *s, const char *name, const void *data)
{
    int io = plan_io_find(s->plan, name);

    if (io >= 0)
        memcpy(s->plan->io.at[io].bound, data, s->plan->io.at[io].bytes);
}

void single_run(struct single *s)
{
    plan_prepare(s->plan);
    plan_run(s->plan);
}

double *single_get(const struct single *s, const char *name, size_t *n)
{
    int io = plan_io_find(s->plan, name);
    const float *data;
    double *out;

    if (io < 0)
        return NULL;
    data = s->plan->io.at[io].bound;
    *n = (size_t)shape_count(&s->plan->io.at[io].shape);
    out = NEW_ARRAY(double, *n);
    for (size_t i = 0; i < *n; i++)
        out[i] = (double)data[i];
    return out;
}
