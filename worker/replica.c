#include "worker/replica.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/engine/ops/ops.h"
#include "worker/optim/grad_norm.h"
#include "worker/staging.h"

static const double running_momentum = 0.1;

static float *floats(size_t n)
{
    float *p = mem_try_aligned(64, n * sizeof(float));

    ASSERT(p);
    return p;
}

static bool compile_teacher(struct replica *r, tensor_fn tensor, void *arg, struct error *err)
{
    const struct compile_options how = {.backend = r->backend,
                                        .convolution = r->cfg.teacher_convolution,
                                        .precision = r->cfg.teacher_precision,
                                        .observer = r->cfg.observer};

    if (r->cfg.nets.teacher)
        r->teacher =
            teacher_open(&r->cfg.nets, r->cfg.chunk, &how, r->cfg.teacher_ranges, tensor, arg, err);
    return r->teacher || !r->cfg.nets.teacher;
}

static bool compile_student(struct replica *r, struct error *err)
{
    const struct nets *n = &r->cfg.nets;
    char title[96];
    struct compile_options options = {.backend = r->backend,
                                      .flat = &r->flat,
                                      .convolution = r->cfg.student_convolution,
                                      .title = title,
                                      .observer = r->cfg.observer};

    if (!n->student)
        return true;
    r->train = NEW_ARRAY(struct plan *, r->cfg.n_lane_sizes);
    for (size_t i = 0; i < r->cfg.n_lane_sizes; i++) {
        snprintf(title, sizeof(title), "%s in training, a lane of %" PRId64 " samples",
                 n->student->name, r->cfg.lane_sizes[i]);
        r->train[i] = compile(nets_train_graph(n, r->cfg.lane_sizes[i]), &options, err);
        if (!r->train[i])
            return err_wrap(err, "student with lanes of %" PRId64 " samples", r->cfg.lane_sizes[i]);
    }
    snprintf(title, sizeof(title), "%s in evaluation, a chunk of %" PRId64 " samples",
             n->student->name, r->cfg.chunk);
    r->eval = compile(nets_eval_graph(n, r->cfg.chunk), &options, err);
    if (!r->eval)
        return err_wrap(err, "student");
    if (!nets_span_batch(n))
        return true;
    r->whole =
        whole_open(n, r->backend, r->cfg.batch_sizes, r->cfg.n_batch_sizes, r->cfg.observer, err);
    return r->whole != NULL;
}

static void list_plan(struct replica *r, struct plan *p)
{
    if (p)
        vec_push(&r->plans, p);
}

static void list_plans(struct replica *r)
{
    r->plans.n = 0;
    for (int form = 0; r->teacher && form < TEACHER_FORMS; form++)
        list_plan(r, r->teacher->plans[form]);
    for (size_t i = 0; i < r->cfg.n_lane_sizes; i++)
        list_plan(r, r->train[i]);
    for (size_t i = 0; r->whole && i < r->whole->n_sizes; i++)
        list_plan(r, r->whole->plans[i]);
    list_plan(r, r->eval);
}

size_t replica_constants(const struct replica *r)
{
    size_t sum = 0;

    for (size_t i = 0; i < r->plans.n; i++)
        sum += r->plans.at[i]->fixed_bytes;
    return sum;
}

size_t replica_arena(const struct replica *r)
{
    size_t most = 0;

    for (size_t i = 0; i < r->plans.n; i++)
        if (r->plans.at[i]->arena_bytes > most)
            most = r->plans.at[i]->arena_bytes;
    return most;
}

/* One arena serves all plans: they run one after the other. */
static bool make_arena(struct replica *r, struct error *err)
{
    size_t bytes = replica_arena(r);

    r->arena = mem_try_aligned(64, bytes ? bytes : 64);
    if (!r->arena)
        return err_set(err, ERR_FAILED, "no memory for an arena of %zu bytes", bytes);
    for (size_t i = 0; i < r->plans.n; i++)
        plan_set_region(r->plans.at[i], REGION_ARENA, r->arena);
    return true;
}

static bool allocate(struct replica *r, struct error *err)
{
    const size_t directions = (size_t)(r->cfg.nets.classes * r->cfg.nets.teacher_width);

    if (!make_arena(r, err))
        return false;
    r->params = floats(r->flat.param_count);
    r->buffers = floats(r->flat.buffer_count);
    for (int i = 0; r->cfg.optim && i < OPTIM_MAX_STATES && r->cfg.optim->states[i]; i++)
        r->state[i] = floats(r->flat.param_count);
    for (size_t i = 0; i < r->plans.n; i++) {
        plan_set_region(r->plans.at[i], REGION_PARAMS, r->params);
        plan_set_region(r->plans.at[i], REGION_BUFFERS, r->buffers);
    }
    r->directions = floats(directions);
    r->staging = staging_new(&r->cfg);
    return true;
}

size_t replica_staged(const struct replica *r)
{
    const size_t directions = (size_t)(r->cfg.nets.classes * r->cfg.nets.teacher_width);

    return r->staging->bytes + directions * sizeof(float) + (r->whole ? r->whole->bytes : 0) +
           (r->teacher ? r->teacher->bytes : 0);
}

/* Of the blocks that others account for, those that mem_in_heap() sees. */
static size_t known_in_heap(const struct replica *r)
{
    size_t sum = r->teacher ? r->teacher->heap_bytes : 0;

    for (size_t i = 0; i < r->plans.n; i++)
        if (r->plans.at[i]->fixed_bytes < MEM_LARGE)
            sum += r->plans.at[i]->fixed_bytes;
    return sum;
}

/* Steps and kernels are many small things of the engine and of the library behind it: they are counted
 * rather than computed. The same graphs compile to the same ones. */
static bool compile_all(struct replica *r, tensor_fn teacher_tensor, void *arg, struct error *err)
{
    const size_t before = mem_in_heap();
    size_t after, known;

    if (!compile_teacher(r, teacher_tensor, arg, err) || !compile_student(r, err))
        return false;
    list_plans(r);
    after = mem_in_heap();
    known = before + known_in_heap(r);
    if (after > known)
        r->record_bytes = after - known;
    return true;
}

struct replica *replica_open(const struct replica_config *cfg, tensor_fn teacher_tensor, void *arg,
                             struct error *err)
{
    struct replica *r = NEW(struct replica);

    r->cfg = *cfg;
    r->cfg.lane_sizes = NULL;
    if (cfg->n_lane_sizes) {
        int64_t *sizes = NEW_ARRAY(int64_t, cfg->n_lane_sizes);

        memcpy(sizes, cfg->lane_sizes, cfg->n_lane_sizes * sizeof(*sizes));
        r->cfg.lane_sizes = sizes;
    }
    r->backend = backend_open(cfg->backend, cfg->threads, err);
    if (r->backend && nets_settle(&r->cfg.nets, err) && compile_all(r, teacher_tensor, arg, err) &&
        allocate(r, err))
        return r;
    replica_close(r);
    return NULL;
}

void replica_close(struct replica *r)
{
    if (!r)
        return;
    for (size_t i = 0; r->train && i < r->cfg.n_lane_sizes; i++)
        plan_free(r->train[i]);
    free(r->train);
    whole_close(r->whole);
    plan_free(r->eval);
    teacher_close(r->teacher);
    vec_free(&r->plans);
    backend_close(r->backend);
    flat_free(&r->flat);
    free(r->params);
    free(r->buffers);
    for (int i = 0; i < OPTIM_MAX_STATES; i++)
        free(r->state[i]);
    free(r->arena);
    free(r->directions);
    staging_free(r->staging);
    free((void *)(uintptr_t)r->cfg.lane_sizes);
    free(r);
}

/* How many products a layer's output is the sum of: its weights and its bias are drawn with that, whatever
 * they are called. */
static int64_t fan_in(const struct graph *g, const char *name)
{
    value_id v = graph_find(g, name);

    for (size_t i = 0; i < g->nodes.n; i++) {
        const struct node *layer = &g->nodes.at[i];

        if ((layer->op == &op_conv || layer->op == &op_gemm) &&
            (layer->in[1] == v || (layer->n_in > 2 && layer->in[2] == v)))
            return shape_count(graph_shape(g, layer->in[1])) /
                   graph_shape(g, layer->out[0])->dim[1];
    }
    return 1;
}

void replica_init(struct replica *r)
{
    const struct nets *n = &r->cfg.nets;
    struct graph *g = r->cfg.n_lane_sizes ? nets_train_graph(n, r->cfg.lane_sizes[0])
                                          : nets_eval_graph(n, r->cfg.chunk);

    for (size_t i = 0; i < r->flat.params.n; i++) {
        const struct flat_entry *e = &r->flat.params.at[i];

        init_tensor(e->name, e->role, &e->shape, fan_in(g, e->name), r->cfg.seed,
                    r->params + e->offset);
    }
    graph_free(g);
    for (size_t i = 0; i < r->flat.buffers.n; i++) {
        const struct flat_entry *e = &r->flat.buffers.at[i];

        init_tensor(e->name, e->role, &e->shape, 1, r->cfg.seed, r->buffers + e->offset);
    }
    replica_refresh(r);
}

void replica_set_directions(struct replica *r, const float *unit)
{
    memcpy(r->directions, unit,
           (size_t)(r->cfg.nets.classes * r->cfg.nets.teacher_width) * sizeof(float));
    r->has_directions = true;
}

void replica_set_centres(struct replica *r, const double *centres)
{
    r->centres = centres;
}

bool replica_set_outputs(struct replica *r, const struct outputs *outputs, struct error *err)
{
    const size_t before = mem_in_heap(), known = known_in_heap(r);
    size_t records;

    r->outputs = outputs;
    teacher_close(r->teacher);
    r->teacher = NULL;
    list_plans(r);
    records = before - mem_in_heap() - (known - known_in_heap(r));
    r->record_bytes -= records < r->record_bytes ? records : 0;
    free(r->arena);
    return make_arena(r, err);
}

void replica_refresh(struct replica *r)
{
    for (size_t i = 0; i < r->cfg.n_lane_sizes; i++)
        plan_stale(r->train[i]);
    if (r->eval)
        plan_stale(r->eval);
}

void replica_watch(struct replica *r, struct nonfinite *first)
{
    for (int form = 0; r->teacher && form < TEACHER_FORMS; form++)
        if (r->teacher->plans[form])
            plan_watch(r->teacher->plans[form], first);
    for (size_t i = 0; i < r->cfg.n_lane_sizes; i++)
        plan_watch(r->train[i], first);
}

const char *replica_spoiled(const struct replica *r, const float *region)
{
    for (size_t i = 0; i < r->flat.params.n; i++) {
        const struct flat_entry *e = &r->flat.params.at[i];

        for (size_t k = 0; k < e->count; k++)
            if (!isfinite(region[e->offset + k]))
                return e->name;
    }
    return NULL;
}

/* One tensor after the other, of which vectors (biases, batch norms) may be spared the decay. */
static void update_params(struct replica *r, const float *grads, const struct optim_hyper *h)
{
    for (size_t i = 0; i < r->flat.params.n; i++) {
        const struct flat_entry *e = &r->flat.params.at[i];
        struct optim_hyper own = *h;
        float *state[OPTIM_MAX_STATES] = {NULL};

        for (int k = 0; k < OPTIM_MAX_STATES && r->state[k]; k++)
            state[k] = r->state[k] + e->offset;
        if (!r->cfg.decay_vectors && e->shape.rank < 2)
            own.weight_decay = 0;
        r->cfg.optim->update(r->params + e->offset, grads + e->offset, state, e->count, &own);
    }
}

void replica_update(struct replica *r, const float *grads, const struct optim_hyper *h)
{
    const float *batch = grads + r->flat.param_count;
    float keep = (float)(1 - running_momentum), take = (float)running_momentum;

    update_params(r, grads, h);
    for (size_t i = 0; i < r->flat.buffer_count; i++)
        r->buffers[i] = keep * r->buffers[i] + take * batch[i];
    replica_refresh(r);
}

double replica_grad_norm(const struct replica *r, const float *grads)
{
    return grad_norm(grads, r->flat.param_count);
}
