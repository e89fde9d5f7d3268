/* The second half of the last pass: everything has its address, so kernels become steps, and what depends
 * on constants alone is computed here and now. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/engine/ir/op.h"
#include "worker/engine/passes/place.h"

/* The root's tenancy of the arena while a node runs. */
static bool alive_at(const struct placing *p, value_id v, int node)
{
    return p->root[v] == v && p->place[v].region == REGION_ARENA && p->first[v] <= node &&
           node <= p->last[v];
}

static size_t live_bytes(const struct placing *p, int node)
{
    size_t sum = p->kernels[node] ? place_aligned(p->kernels[node]->scratch_bytes) : 0;

    for (size_t v = 0; v < p->n; v++)
        if (alive_at(p, (value_id)v, node))
            sum += place_aligned(place_bytes(p, (value_id)v));
    return sum;
}

static char *node_text(const struct placing *p, const struct node *n)
{
    struct buf b = buf_new(0);

    graph_dump_node(p->g, n, &b);
    return buf_take(&b);
}

static void note_alive(struct placing *p, char *take_text, size_t bytes)
{
    struct plan_alive a = {take_text, bytes};
    size_t at = p->plan->alive.n;

    vec_push(&p->plan->alive, a);
    for (; at > 0 && p->plan->alive.at[at - 1].bytes < bytes; at--)
        p->plan->alive.at[at] = p->plan->alive.at[at - 1];
    p->plan->alive.at[at] = a;
}

/* Who lives in the arena while a node runs. */
static void list_alive(struct placing *p, int node, size_t scratch)
{
    for (size_t v = 0; v < p->n; v++)
        if (alive_at(p, (value_id)v, node))
            note_alive(p, node_text(p, &p->g->nodes.at[p->g->values.at[v].producer]),
                       place_aligned(place_bytes(p, (value_id)v)));
    if (scratch)
        note_alive(p, str_fmt("scratch of %s", p->g->nodes.at[node].op->name),
                   place_aligned(scratch));
}

/* Constants of a node that runs once: the graph's own floats, or copies where the back end computes in
 * double. */
static void *const_arg(const struct placing *p, value_id v, void **copy)
{
    const struct value *value = &p->g->values.at[v];
    size_t n = (size_t)shape_count(&value->shape);
    double *wide;

    if (value->kind != VALUE_CONST)
        return (char *)p->plan->base[REGION_FIXED] + p->place[p->root[v]].offset;
    if (p->backend->def->real_size == sizeof(float))
        return (void *)(uintptr_t)value->data;
    *copy = wide = NEW_ARRAY(double, n);
    for (size_t i = 0; i < n; i++)
        wide[i] = (double)value->data[i];
    return wide;
}

static bool run_once(struct placing *p, size_t i, struct error *err)
{
    const struct node *n = &p->g->nodes.at[i];
    void *args[NODE_MAX_IN + NODE_MAX_OUT + 1], *copies[NODE_MAX_IN] = {NULL};
    void *scratch = mem_try_aligned(64, p->kernels[i]->scratch_bytes);

    if (!scratch)
        return err_set(err, ERR_IO, "no memory for %zu bytes", p->kernels[i]->scratch_bytes);
    for (int k = 0; k < n->n_in; k++)
        args[k] = const_arg(p, n->in[k], &copies[k]);
    for (int k = 0; k < n->n_out; k++)
        args[n->n_in + k] =
            (char *)p->plan->base[REGION_FIXED] + p->place[p->root[n->out[k]]].offset;
    args[n->n_in + n->n_out] = scratch;
    p->kernels[i]->run(p->kernels[i], args);
    for (int k = 0; k < n->n_in; k++)
        free(copies[k]);
    free(scratch);
    p->kernels[i]->free(p->kernels[i]);
    p->kernels[i] = NULL;
    return true;
}

static void fill_constants(struct placing *p)
{
    for (size_t v = 0; v < p->n; v++) {
        const struct value *value = &p->g->values.at[v];
        size_t n = (size_t)shape_count(&value->shape);
        void *to = (char *)p->plan->base[REGION_FIXED] + p->place[v].offset;

        if (value->kind != VALUE_CONST || p->place[v].region != REGION_FIXED)
            continue;
        if (p->backend->def->real_size == sizeof(float))
            memcpy(to, value->data, n * sizeof(float));
        else
            for (size_t i = 0; i < n; i++)
                ((double *)to)[i] = (double)value->data[i];
    }
}

static struct step_value step_value(const struct placing *p, value_id v)
{
    const struct value *value = &p->g->values.at[v];

    return (struct step_value){value->shape, value->dtype, value->layout, place_bytes(p, v)};
}

static struct step step_of(struct placing *p, size_t i, size_t scratch_offset)
{
    const struct node *n = &p->g->nodes.at[i];
    struct step s = {.kernel = p->kernels[i],
                     .op = n->op->name,
                     .layer = str_dup(n->name),
                     .text = node_text(p, n),
                     .n_in = n->n_in,
                     .n_out = n->n_out,
                     .live_bytes = live_bytes(p, (int)i),
                     .flops = op_flops(p->g, n)};

    for (int k = 0; k < n->n_in + n->n_out; k++) {
        value_id v = k < n->n_in ? n->in[k] : n->out[k - n->n_in];

        s.values[k] = step_value(p, v);
        s.args[k] = p->place[p->root[v]];
    }
    s.args[n->n_in + n->n_out] = (struct place){REGION_ARENA, scratch_offset};
    return s;
}

static void add_step(struct placing *p, size_t i, size_t scratch_offset, int *peak)
{
    struct step s = step_of(p, i, scratch_offset);

    p->kernels[i] = NULL; /* the step owns it */
    if (place_phase(p, &p->g->nodes.at[i]) == PHASE_PARAMS) {
        vec_push(&p->plan->prepare, s);
        return;
    }
    if (s.live_bytes > p->plan->peak_bytes || *peak < 0) {
        p->plan->peak_bytes = s.live_bytes;
        p->plan->peak_step = (int)p->plan->steps.n;
        *peak = (int)i;
    }
    vec_push(&p->plan->steps, s);
}

/* Where the last gradient of a parameter that the step reads or writes ends, in elements; else 0. */
static size_t grads_end(const struct placing *p, const struct step *s)
{
    size_t real = p->backend->def->real_size, end = 0;

    for (int k = 0; k < s->n_in + s->n_out; k++) {
        size_t from = s->args[k].offset / real;
        size_t to = from + (size_t)shape_count(&s->values[k].shape);

        if (s->args[k].region == REGION_GRADS && from < p->flat->param_count && to > end)
            end = to;
    }
    return end;
}

/* Parameters lie in the order of the forward pass, so gradients become final from the end on. */
static void find_final(struct placing *p)
{
    size_t from = 0;

    for (size_t i = p->plan->steps.n; i-- > 0;) {
        struct step *s = &p->plan->steps.at[i];
        size_t end = grads_end(p, s);

        s->final_from = from;
        from = end > from ? end : from;
    }
}

bool place_make_steps(struct placing *p, const size_t *scratch_offset, struct error *err)
{
    int peak = -1;

    fill_constants(p);
    for (size_t i = 0; i < p->g->nodes.n; i++) {
        if (!p->kernels[i])
            continue;
        if (place_phase(p, &p->g->nodes.at[i]) != PHASE_ONCE)
            add_step(p, i, scratch_offset[i], &peak);
        else if (!run_once(p, i, err))
            return false;
    }
    find_final(p);
    if (peak >= 0)
        list_alive(p, peak, p->plan->steps.at[p->plan->peak_step].kernel->scratch_bytes);
    return true;
}
