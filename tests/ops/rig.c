#include "tests/ops/rig.h"

#include <check.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"

void rig_open(struct rig *r, struct graph *take_graph, const char *backend)
{
    struct error err;

    r->backend = backend_open(backend, 1, &err);
    ck_assert_msg(r->backend != NULL, "%s", err.msg);
    r->plan = compile(take_graph, &(struct compile_options){.backend = r->backend}, &err);
    ck_assert_msg(r->plan != NULL, "%s: %s", backend, err.msg);
    r->arena = mem_try_aligned(64, r->plan->arena_bytes);
    plan_set_region(r->plan, REGION_ARENA, r->arena);
    for (size_t i = 0; i < r->plan->io.n; i++)
        plan_bind(r->plan, (int)i, mem_try_aligned(64, r->plan->io.at[i].bytes));
}

void rig_close(struct rig *r)
{
    for (size_t i = 0; i < r->plan->io.n; i++)
        free(r->plan->io.at[i].bound);
    plan_free(r->plan);
    backend_close(r->backend);
    free(r->arena);
}

size_t rig_count(const struct rig *r, int io)
{
    return (size_t)shape_count(&r->plan->io.at[io].shape);
}

double rig_get(const struct rig *r, int io, size_t i)
{
    const void *data = r->plan->io.at[io].bound;

    return r->backend->def->real_size == sizeof(double) ? ((const double *)data)[i]
                                                        : (double)((const float *)data)[i];
}

void rig_set(struct rig *r, int io, size_t i, double x)
{
    void *data = r->plan->io.at[io].bound;

    if (r->plan->io.at[io].dtype == DT_INDEX)
        ((int32_t *)data)[i] = (int32_t)x;
    else if (r->backend->def->real_size == sizeof(double))
        ((double *)data)[i] = x;
    else
        ((float *)data)[i] = (float)x;
}

void rig_fill(struct rig *r, uint64_t seed)
{
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
