/* The last pass: kernels, addresses, steps.
 *
 * A node's phase tells when it has to run: once (its inputs are constants), when parameters change, or
 * each time. Values of the first two live in the plan's fixed region; temporaries of the third share
 * the arena by their intervals of life. Views and in-place operators make values share a storage: each
 * value has a root, and only roots get memory. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/engine/ops/ops.h"
#include "worker/engine/passes/memory.h"
#include "worker/engine/passes/place.h"

bool place_is_view(const struct node *n)
{
    return n->op == &op_flatten || n->op == &op_view;
}

size_t place_bytes(const struct placing *p, value_id v)
{
    return p->backend->def->bytes(p->backend, &p->g->values.at[v]);
}

size_t place_aligned(size_t bytes)
{
    return (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

enum phase place_phase(const struct placing *p, const struct node *n)
{
    enum phase phase = PHASE_ONCE;

    for (int k = 0; k < n->n_in; k++)
        if (p->phase[n->in[k]] > phase)
            phase = p->phase[n->in[k]];
    return phase;
}

static void find_phases_and_views(struct placing *p)
{
    static const enum phase of_kind[] = {
        [VALUE_INPUT] = PHASE_RUN,  [VALUE_PARAM] = PHASE_PARAMS, [VALUE_BUFFER] = PHASE_PARAMS,
        [VALUE_CONST] = PHASE_ONCE, [VALUE_TEMP] = PHASE_RUN,
    };

    for (size_t v = 0; v < p->n; v++) {
        p->phase[v] = of_kind[p->g->values.at[v].kind];
        p->root[v] = (value_id)v;
    }
    for (size_t i = 0; i < p->g->nodes.n; i++) {
        const struct node *n = &p->g->nodes.at[i];

        for (int k = 0; k < n->n_out; k++)
            p->phase[n->out[k]] = place_phase(p, n);
        if (place_is_view(n))
            p->root[n->out[0]] = p->root[n->in[0]];
    }
}

/* Life of each root, in nodes of the run phase. */
static void find_lives(struct placing *p)
{
    for (size_t v = 0; v < p->n; v++)
        p->first[v] = p->last[v] = -1;
    for (size_t i = 0; i < p->g->nodes.n; i++) {
        const struct node *n = &p->g->nodes.at[i];

        for (int k = 0; k < n->n_in + n->n_out; k++) {
            value_id r = p->root[k < n->n_in ? n->in[k] : n->out[k - n->n_in]];

            if (p->first[r] < 0)
                p->first[r] = (int)i;
            p->last[r] = (int)i;
        }
    }
}

/* Inputs and outputs of the plan, parameters, sinks: places that are known from outside. */
static void place_io(struct placing *p, value_id v, bool is_output)
{
    const struct value *value = &p->g->values.at[v];

    p->place[p->root[v]] = (struct place){REGION_IO, p->plan->io.n};
    vec_push(&p->plan->io, (struct plan_io){.name = str_dup(value->name),
                                            .dtype = value->dtype,
                                            .shape = value->shape,
                                            .is_output = is_output,
                                            .bytes = place_bytes(p, v)});
}

static void place_known(struct placing *p)
{
    size_t real = p->backend->def->real_size;

    for (size_t v = 0; v < p->n; v++) {
        const struct value *value = &p->g->values.at[v];

        p->place[v] = (struct place){REGION_COUNT, 0};
        if (p->first[v] < 0)
            continue;
        if (value->kind == VALUE_INPUT)
            place_io(p, (value_id)v, false);
        else if (value->kind == VALUE_PARAM)
            p->place[v] = (struct place){REGION_PARAMS, flat_place(p->flat, value)->offset * real};
        else if (value->kind == VALUE_BUFFER)
            p->place[v] = (struct place){REGION_BUFFERS, flat_place(p->flat, value)->offset * real};
    }
    for (size_t v = 0; v < p->n; v++)
        if (p->g->values.at[v].output)
            place_io(p, (value_id)v, true);
}

/* Sinks come after all parameters and buffers have their offsets. */
static bool place_sinks(struct placing *p, struct error *err)
{
    for (size_t i = 0; i < p->g->sinks.n; i++) {
        const struct value *like = &p->g->values.at[p->g->sinks.at[i].like];
        struct place *place = &p->place[p->root[p->g->sinks.at[i].value]];

        if (place->region != REGION_COUNT)
            return err_set(err, ERR_UNSUPPORTED, "the gradient of %s is an input or output",
                           like->name);
        flat_place(p->flat, like);
        *place = (struct place){REGION_GRADS, i};
    }
    for (size_t i = 0; i < p->g->sinks.n; i++) {
        const struct value *like = &p->g->values.at[p->g->sinks.at[i].like];

        p->place[p->root[p->g->sinks.at[i].value]].offset =
            flat_grad_offset(p->flat, like) * p->backend->def->real_size;
    }
    return true;
}

/* True when node i may write its first output over its k-th input: both would live in the arena, and
 * nobody reads the input afterwards, or through another operand. */
static bool can_share(const struct placing *p, size_t i, int k)
{
    const struct node *n = &p->g->nodes.at[i];
    value_id in = p->root[n->in[k]], out = p->root[n->out[0]];

    if (p->place[out].region != REGION_COUNT || p->place[in].region != REGION_COUNT ||
        p->phase[n->in[k]] != PHASE_RUN || p->last[in] != (int)i ||
        place_bytes(p, n->in[k]) != place_bytes(p, n->out[0]))
        return false;
    for (int other = 0; other < n->n_in; other++)
        if (other != k && p->root[n->in[other]] == in)
            return false;
    return true;
}

static void share(struct placing *p, value_id in, value_id out)
{
    for (size_t v = 0; v < p->n; v++)
        if (p->root[v] == out)
            p->root[v] = in;
    p->last[in] = p->last[out];
    p->first[out] = -1;
}

static void share_in_place(struct placing *p)
{
    for (size_t i = 0; i < p->g->nodes.n; i++) {
        const struct node *n = &p->g->nodes.at[i];
        unsigned allowed = place_is_view(n) ? 0 : p->backend->def->inplace(p->backend, p->g, n);

        for (int k = 0; k < n->n_in; k++)
            if ((allowed >> k & 1) && can_share(p, i, k)) {
                share(p, p->root[n->in[k]], p->root[n->out[0]]);
                break;
            }
    }
}

static bool make_kernels(struct placing *p, struct error *err)
{
    for (size_t i = 0; i < p->g->nodes.n; i++) {
        const struct node *n = &p->g->nodes.at[i];

        if (place_is_view(n))
            continue;
        p->kernels[i] = p->backend->def->kernel(p->backend, p->g, n, err);
        if (!p->kernels[i])
            return err_wrap(err, "%s %s", n->op->name, n->name);
    }
    return true;
}

/* True if a node that runs again and again reads v. */
static bool read_later(const struct placing *p, value_id v)
{
    for (size_t i = 0; i < p->g->nodes.n; i++) {
        const struct node *n = &p->g->nodes.at[i];

        for (int k = 0; k < n->n_in; k++)
            if (p->root[n->in[k]] == v && place_phase(p, n) != PHASE_ONCE)
                return true;
    }
    return false;
}

static bool place_fixed(struct placing *p, struct error *err)
{
    struct plan *plan = p->plan;

    for (size_t v = 0; v < p->n; v++) {
        const struct value *value = &p->g->values.at[v];
        bool is_const = value->kind == VALUE_CONST;

        if (p->root[v] != (value_id)v || p->first[v] < 0 || p->phase[v] == PHASE_RUN ||
            p->place[v].region != REGION_COUNT || (is_const && !read_later(p, (value_id)v)))
            continue;
        p->place[v] = (struct place){REGION_FIXED, plan->fixed_bytes};
        plan->fixed_bytes += place_aligned(place_bytes(p, (value_id)v));
    }
    plan->base[REGION_FIXED] = mem_try_aligned(4096, plan->fixed_bytes);
    return plan->base[REGION_FIXED] ||
           err_set(err, ERR_IO, "no memory for %zu bytes of constants", plan->fixed_bytes);
}

/* Temporaries and scratch share the arena. Scratch is an interval of one node. */
static void place_arena(struct placing *p, size_t *scratch_offset)
{
    size_t n_nodes = p->g->nodes.n, n = 0;
    struct interval *v = NEW_ARRAY(struct interval, p->n + n_nodes);
    value_id *owner = NEW_ARRAY(value_id, p->n + n_nodes);

    for (size_t i = 0; i < p->n; i++)
        if (p->root[i] == (value_id)i && p->first[i] >= 0 && p->place[i].region == REGION_COUNT &&
            p->phase[i] == PHASE_RUN) {
            owner[n] = (value_id)i;
            v[n++] = (struct interval){p->first[i], p->last[i],
                                       place_aligned(place_bytes(p, (value_id)i)), 0};
        }
    for (size_t i = 0; i < n_nodes; i++)
        if (p->kernels[i] && p->kernels[i]->scratch_bytes) {
            owner[n] = NO_VALUE - 1 - (value_id)i;
            v[n++] =
                (struct interval){(int)i, (int)i, place_aligned(p->kernels[i]->scratch_bytes), 0};
        }
    p->plan->arena_bytes = memory_plan(v, n);
    for (size_t i = 0; i < n; i++) {
        p->plan->arena_sum += v[i].size;
        if (owner[i] >= 0)
            p->place[owner[i]] = (struct place){REGION_ARENA, v[i].offset};
        else
            scratch_offset[NO_VALUE - 1 - owner[i]] = v[i].offset;
    }
    free(owner);
    free(v);
}

bool pass_place(struct compiler *c, struct error *err)
{
    size_t n = c->g->values.n, n_nodes = c->g->nodes.n;
    struct flat none = {0};
    struct placing p = {
        .g = c->g,
        .backend = c->options->backend,
        .flat = c->options->flat ? c->options->flat : &none,
        .plan = c->plan = NEW(struct plan),
        .n = n,
        .phase = NEW_ARRAY(enum phase, n),
        .root = NEW_ARRAY(value_id, n),
        .first = NEW_ARRAY(int, n),
        .last = NEW_ARRAY(int, n),
        .place = NEW_ARRAY(struct place, n),
        .kernels = NEW_ARRAY(struct kernel *, n_nodes),
    };
    size_t *scratch_offset = NEW_ARRAY(size_t, n_nodes);
    bool ok;

    p.plan->backend = p.backend;
    find_phases_and_views(&p);
    find_lives(&p);
    place_known(&p);
    ok = place_sinks(&p, err) && make_kernels(&p, err);
    if (ok) {
        share_in_place(&p);
        ok = place_fixed(&p, err);
    }
    if (ok) {
        place_arena(&p, scratch_offset);
        ok = place_make_steps(&p, scratch_offset, err);
    }
    for (size_t i = 0; i < n_nodes; i++)
        if (p.kernels[i])
            p.kernels[i]->free(p.kernels[i]);
    free(scratch_offset);
    free(p.kernels);
    free(p.place);
    free(p.last);
    free(p.first);
    free(p.root);
    free(p.phase);
    flat_free(&none);
    return ok;
}
