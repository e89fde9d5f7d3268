#include "tests/ops/rig.h"

#include <check.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"

/* Zeros, known to the plan. */
static void *region(struct rig *r, enum region which, size_t n)
{
    void *p = mem_try_aligned(64, n * r->backend->def->real_size);

    plan_set_region(r->plan, which, p);
    return p;
}

void rig_open(struct rig *r, struct graph *take_graph, const char *backend)
{
    rig_open_threads(r, take_graph, backend, 1);
}

void rig_open_threads(struct rig *r, struct graph *take_graph, const char *backend, int threads)
{
    struct error err;

    *r = (struct rig){.backend = backend_open(backend, threads, &err)};
    ck_assert_msg(r->backend != NULL, "%s", err.msg);
    r->plan = compile(take_graph,
                      &(struct compile_options){.backend = r->backend, .flat = &r->flat}, &err);
    ck_assert_msg(r->plan != NULL, "%s: %s", backend, err.msg);
    r->arena = mem_try_aligned(64, r->plan->arena_bytes);
    plan_set_region(r->plan, REGION_ARENA, r->arena);
    r->params = region(r, REGION_PARAMS, r->flat.param_count);
    r->buffers = region(r, REGION_BUFFERS, r->flat.buffer_count);
    r->grads = region(r, REGION_GRADS, flat_grad_count(&r->flat));
    for (size_t i = 0; i < r->plan->io.n; i++)
        plan_bind(r->plan, (int)i, mem_try_aligned(64, r->plan->io.at[i].bytes));
}

void rig_close(struct rig *r)
{
    for (size_t i = 0; i < r->plan->io.n; i++)
        free(r->plan->io.at[i].bound);
    plan_free(r->plan);
    backend_close(r->backend);
    flat_free(&r->flat);
    free(r->arena);
    free(r->params);
    free(r->buffers);
    free(r->grads);
}

size_t rig_count(const struct rig *r, int io)
{
    return (size_t)shape_count(&r->plan->io.at[io].shape);
}

int rig_io(const struct rig *r, const char *name)
{
    int io = plan_io_find(r->plan, name);

    ck_assert_msg(io >= 0, "the plan has no %s", name);
    return io;
}

double rig_region_get(const struct rig *r, const void *region, size_t i)
{
    return r->backend->def->real_size == sizeof(double) ? ((const double *)region)[i]
                                                        : (double)((const float *)region)[i];
}

void rig_region_set(const struct rig *r, void *region, size_t i, double x)
{
    if (r->backend->def->real_size == sizeof(double))
        ((double *)region)[i] = x;
    else
        ((float *)region)[i] = (float)x;
}

double rig_get(const struct rig *r, int io, size_t i)
{
    return rig_region_get(r, r->plan->io.at[io].bound, i);
}

void rig_set(struct rig *r, int io, size_t i, double x)
{
    if (r->plan->io.at[io].dtype == DT_INDEX)
        ((int32_t *)r->plan->io.at[io].bound)[i] = (int32_t)x;
    else
        rig_region_set(r, r->plan->io.at[io].bound, i, x);
}

static void fill_params(struct rig *r, uint64_t seed)
{
    for (size_t i = 0; i < r->flat.params.n; i++) {
        const struct flat_entry *e = &r->flat.params.at[i];
        uint64_t key = rng_key_text(seed, e->name);

        for (size_t k = 0; k < e->count; k++)
            rig_region_set(r, r->params, e->offset + k,
                           (double)(float)(2 * rng_uniform(key, k) - 1));
    }
}

void rig_fill(struct rig *r, uint64_t seed)
{
    fill_params(r, seed);
    for (size_t io = 0; io < r->plan->io.n; io++) {
        const struct plan_io *p = &r->plan->io.at[io];
        uint64_t key = rng_key_text(seed, p->name);

        for (size_t i = 0; !p->is_output && i < rig_count(r, (int)io); i++) {
            double u = (double)(float)(0.05 + 0.95 * rng_uniform(key, i));

            if (p->dtype == DT_INDEX)
                u = (double)rng_below(key, i, 3);
            else if (p->name[0] != '+' && (rng_u64(key, i) & 1))
                u = -u;
            rig_set(r, (int)io, i, u);
        }
    }
}

void rig_run(struct rig *r)
{
    plan_prepare(r->plan);
    plan_run(r->plan);
}
