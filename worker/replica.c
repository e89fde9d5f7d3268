#include "worker/replica.h"

#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "worker/engine/ops/ops.h"
#include "worker/means/means.h"
#include "worker/stats.h"

enum {
    BLOCK = 65536
};
static const double running_momentum = 0.1;

/* Buffers between plans and callers, sized once. */
struct replica_staging {
    float *images;                           /* a chunk that was filled up */
    float *chunk[NETS_MAX_TEACHER_VALUES];   /* the teacher's, of a chunk */
    float *teacher[NETS_MAX_TEACHER_VALUES]; /* of a lane */
    float *logits, *features, *projected;    /* of a lane or chunk */
    float *mask;
    float *seeds;
    float *shares, *direction; /* of a lane of mixed images */
    double *centre;            /* of one of them */
    float *losses[NETS_MAX_LOSSES];
};

static float *floats(size_t n)
{
    float *p = mem_try_aligned(64, n * sizeof(float));

    ASSERT(p);
    return p;
}

static int64_t largest_lane(const struct replica_config *c)
{
    int64_t most = c->chunk;

    for (size_t i = 0; i < c->n_lane_sizes; i++)
        if (c->lane_sizes[i] > most)
            most = c->lane_sizes[i];
    return most;
}

/* Floats that are counted. */
static float *staged(struct replica *r, size_t n)
{
    r->staging_bytes += n * sizeof(float);
    return floats(n);
}

/* Logits and features are there always, taps where they are read. */
static void stage_teacher(struct replica *r, struct replica_staging *s)
{
    const struct nets *n = &r->cfg.nets;

    for (size_t i = 0; i < n->n_teacher_values; i++) {
        const struct nets_teacher_value *v = &n->teacher_values[i];
        size_t one = (size_t)shape_count(&v->shape);

        if (i >= TEACHER_TAPS && !v->read)
            continue;
        s->chunk[i] = staged(r, (size_t)r->cfg.chunk * one);
        s->teacher[i] = staged(r, (size_t)largest_lane(&r->cfg) * one);
    }
}

static struct replica_staging *staging_new(struct replica *r)
{
    const struct replica_config *c = &r->cfg;
    const struct nets *n = &c->nets;
    size_t lane = (size_t)largest_lane(c), chunk = (size_t)c->chunk;
    size_t classes = (size_t)n->classes, image = 3 * (size_t)(n->image_size * n->image_size);
    size_t teacher = (size_t)n->teacher_width, student = (size_t)n->student_width;
    struct replica_staging *s = NEW(struct replica_staging);

    s->images = staged(r, chunk * image);
    stage_teacher(r, s);
    s->logits = staged(r, lane * classes);
    s->features = staged(r, lane * student);
    s->projected = staged(r, lane * teacher);
    s->mask = staged(r, lane * student);
    s->seeds = staged(r, lane * NETS_MAX_LOSSES);
    s->shares = staged(r, n->mixes ? lane : 0);
    s->direction = staged(r, n->mixes ? lane * teacher : 0);
    s->centre = NEW_ARRAY(double, n->mixes ? teacher : 0);
    r->staging_bytes += n->mixes ? teacher * sizeof(*s->centre) : 0;
    for (size_t i = 0; i < n->n_losses; i++)
        s->losses[i] = staged(r, lane);
    return s;
}

static void staging_free(struct replica_staging *s)
{
    if (!s)
        return;
    free(s->images);
    for (size_t i = 0; i < NETS_MAX_TEACHER_VALUES; i++) {
        free(s->chunk[i]);
        free(s->teacher[i]);
    }
    free(s->logits);
    free(s->features);
    free(s->projected);
    free(s->mask);
    free(s->seeds);
    free(s->shares);
    free(s->direction);
    free(s->centre);
    for (size_t i = 0; i < NETS_MAX_LOSSES; i++)
        free(s->losses[i]);
    free(s);
}

static struct plan *compile_teacher(struct replica *r, bool with_taps, tensor_fn tensor, void *arg,
                                    struct error *err)
{
    const struct nets *n = &r->cfg.nets;
    char title[96];
    struct compile_options options = {.backend = r->backend,
                                      .convolution = r->cfg.teacher_convolution,
                                      .title = title,
                                      .observer = r->cfg.observer};
    struct graph *g = nets_teacher_graph(n, r->cfg.chunk, with_taps);
    float *weights = NULL;
    struct plan *p = NULL;

    snprintf(title, sizeof(title), "%s frozen%s, a chunk of %" PRId64 " samples", n->teacher->name,
             with_taps ? " with taps" : "", r->cfg.chunk);
    if (nets_set_constants(g, tensor, arg, &weights, err))
        p = compile(g, &options, err);
    else
        graph_free(g);
    free(weights);
    return p;
}

/* Taps keep steps from being fused, which rounds otherwise. So that class means and norms of test images do
 * not depend on the losses, they have a plan without. */
static bool compile_teachers(struct replica *r, tensor_fn tensor, void *arg, struct error *err)
{
    if (!r->cfg.nets.teacher)
        return true;
    r->teacher = compile_teacher(r, false, tensor, arg, err);
    if (r->teacher && nets_reads_taps(&r->cfg.nets))
        r->tapped = compile_teacher(r, true, tensor, arg, err);
    return r->teacher && (r->tapped || !nets_reads_taps(&r->cfg.nets));
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

static void grow(size_t *bytes, const struct plan *p)
{
    if (p && p->arena_bytes > *bytes)
        *bytes = p->arena_bytes;
}

static void set_regions(struct replica *r, struct plan *p)
{
    if (!p)
        return;
    plan_set_region(p, REGION_ARENA, r->arena);
    plan_set_region(p, REGION_PARAMS, r->params);
    plan_set_region(p, REGION_BUFFERS, r->buffers);
}

size_t replica_constants(const struct replica *r)
{
    size_t sum = (r->teacher ? r->teacher->fixed_bytes : 0) +
                 (r->tapped ? r->tapped->fixed_bytes : 0) + (r->eval ? r->eval->fixed_bytes : 0);

    for (size_t i = 0; i < r->cfg.n_lane_sizes; i++)
        sum += r->train[i]->fixed_bytes;
    for (size_t i = 0; r->whole && i < r->whole->n_sizes; i++)
        sum += r->whole->plans[i]->fixed_bytes;
    return sum;
}

/* One arena serves all plans: they run one after the other. */
static bool allocate(struct replica *r, struct error *err)
{
    size_t bytes = 64;

    grow(&bytes, r->teacher);
    grow(&bytes, r->tapped);
    grow(&bytes, r->eval);
    for (size_t i = 0; i < r->cfg.n_lane_sizes; i++)
        grow(&bytes, r->train[i]);
    for (size_t i = 0; r->whole && i < r->whole->n_sizes; i++)
        grow(&bytes, r->whole->plans[i]);
    r->arena = mem_try_aligned(2u << 20, bytes);
    if (!r->arena)
        return err_set(err, ERR_FAILED, "no memory for an arena of %zu bytes", bytes);
    r->params = floats(r->flat.param_count);
    r->buffers = floats(r->flat.buffer_count);
    for (int i = 0; r->cfg.optim && i < OPTIM_MAX_STATES && r->cfg.optim->states[i]; i++)
        r->state[i] = floats(r->flat.param_count);
    set_regions(r, r->teacher);
    set_regions(r, r->tapped);
    set_regions(r, r->eval);
    for (size_t i = 0; i < r->cfg.n_lane_sizes; i++)
        set_regions(r, r->train[i]);
    for (size_t i = 0; r->whole && i < r->whole->n_sizes; i++)
        set_regions(r, r->whole->plans[i]);
    r->staging_bytes += r->whole ? r->whole->bytes : 0;
    r->directions = staged(r, (size_t)(r->cfg.nets.classes * r->cfg.nets.teacher_width));
    r->staging = staging_new(r);
    return true;
}

/* Bytes in use of the heap, large blocks included. */
static size_t heap_bytes(void)
{
    const struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}

/* Steps and kernels are many small things of the engine and of the library behind it: they are counted
 * rather than computed. The same graphs compile to the same ones. */
static bool compile_all(struct replica *r, tensor_fn teacher_tensor, void *arg, struct error *err)
{
    const size_t before = heap_bytes();
    size_t grown;

    if (!compile_teachers(r, teacher_tensor, arg, err) || !compile_student(r, err))
        return false;
    grown = heap_bytes() - before;
    if (grown > replica_constants(r))
        r->record_bytes = grown - replica_constants(r);
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
    plan_free(r->teacher);
    plan_free(r->tapped);
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

void replica_refresh(struct replica *r)
{
    for (size_t i = 0; i < r->cfg.n_lane_sizes; i++)
        plan_prepare(r->train[i]);
    if (r->eval)
        plan_prepare(r->eval);
}

static size_t value_count(const struct nets *n, size_t i)
{
    return (size_t)shape_count(&n->teacher_values[i].shape);
}

/* Runs the teacher on one chunk; fewer than cfg.chunk samples are filled up with zeros, because the
 * same sample gives other bits in a batch of another size. */
static void teacher_chunk(struct replica *r, struct plan *teacher, const float *images,
                          int64_t count)
{
    const struct nets *n = &r->cfg.nets;
    struct replica_staging *s = r->staging;
    size_t image = 3 * (size_t)(n->image_size * n->image_size);
    const float *in = images;

    if (count < r->cfg.chunk) {
        memset(s->images, 0, (size_t)r->cfg.chunk * image * sizeof(float));
        memcpy(s->images, images, (size_t)count * image * sizeof(float));
        in = s->images;
    }
    plan_bind_name(teacher, "images", in);
    for (size_t i = 0; i < n->n_teacher_values; i++)
        plan_bind_name(teacher, n->teacher_values[i].name, s->chunk[i]);
    plan_run(teacher);
}

/* Fills those of values[] that are there. */
static void run_teacher(struct replica *r, struct plan *teacher, const float *images, int64_t count,
                        float *const values[NETS_MAX_TEACHER_VALUES])
{
    const struct nets *n = &r->cfg.nets;
    int64_t image = 3 * n->image_size * n->image_size;

    for (int64_t at = 0; at < count; at += r->cfg.chunk) {
        int64_t here = count - at < r->cfg.chunk ? count - at : r->cfg.chunk;

        teacher_chunk(r, teacher, images + at * image, here);
        for (size_t i = 0; i < n->n_teacher_values; i++)
            if (values[i])
                memcpy(values[i] + (size_t)at * value_count(n, i), r->staging->chunk[i],
                       (size_t)here * value_count(n, i) * sizeof(float));
    }
}

void replica_teacher(struct replica *r, const float *images, int64_t count, float *logits,
                     float *features)
{
    float *const values[NETS_MAX_TEACHER_VALUES] = {
        [TEACHER_LOGITS] = logits, [TEACHER_FEATURES] = features};

    run_teacher(r, r->teacher, images, count, values);
}

/* 0 or 1/(1-p), drawn by sample and element. */
static void fill_mask(const struct replica *r, const struct lane *lane)
{
    uint64_t key = rng_key(rng_key(r->cfg.seed, RNG_DROPOUT), (uint64_t)lane->epoch);
    int64_t width = r->cfg.nets.student_width;
    float keep = (float)(1 / (1 - r->cfg.dropout));

    for (int64_t i = 0; i < lane->count; i++) {
        uint64_t sample = rng_key(key, (uint64_t)lane->samples[i]);

        for (int64_t j = 0; j < width; j++)
            r->staging->mask[i * width + j] =
                rng_uniform(sample, (uint64_t)j) < r->cfg.dropout ? 0 : keep;
    }
}

/* Where each image points: to the centre that is mixed of its two classes' as the image is of theirs. In the
 * mixture centres have their lengths (paper.md 2.5, without the smoothing over the batch). */
static void fill_direction(const struct replica *r, const struct lane *lane)
{
    const int width = (int)r->cfg.nets.teacher_width;
    double *centre = r->staging->centre;

    for (int64_t i = 0; r->centres && i < lane->count; i++) {
        const double *own = r->centres + (int64_t)lane->labels[i] * width;
        const double *other = r->centres + (int64_t)lane->partners[i] * width;

        for (int k = 0; k < width; k++)
            centre[k] = lane->share * own[k] + (1 - lane->share) * other[k];
        means_direction(centre, width, r->staging->direction + i * width);
    }
}

static void fill_mixture(const struct replica *r, const struct lane *lane)
{
    for (int64_t i = 0; i < lane->count; i++)
        r->staging->shares[i] = (float)lane->share;
    fill_direction(r, lane);
}

const int32_t *replica_labels(const struct replica *r, const struct lane *lane)
{
    return r->cfg.nets.mixes && lane->share < 0.5 ? lane->partners : lane->labels;
}

static struct plan *train_plan(const struct replica *r, int64_t count)
{
    for (size_t i = 0; i < r->cfg.n_lane_sizes; i++)
        if (r->cfg.lane_sizes[i] == count)
            return r->train[i];
    ASSERT(!"a lane of a size that was not planned");
    return NULL;
}

static void bind_losses(struct replica *r, struct plan *p, const struct lane *lane)
{
    for (size_t k = 0; k < r->cfg.nets.n_losses; k++) {
        const char *kind = r->cfg.nets.losses[k].def->name;
        float *seeds = r->staging->seeds + (size_t)lane->count * k;
        float seed = (float)(lane->loss_weights[k] / (double)lane->batch);
        char name[48];

        for (int64_t i = 0; i < lane->count; i++)
            seeds[i] = seed;
        snprintf(name, sizeof(name), "seed/%s", kind);
        plan_bind_name(p, name, seeds);
        snprintf(name, sizeof(name), "loss/%s", kind);
        plan_bind_name(p, name, r->staging->losses[k]);
    }
}

static void bind_lane(struct replica *r, struct plan *p, const struct lane *lane)
{
    struct replica_staging *s = r->staging;
    char name[48];

    plan_bind_name(p, "images", lane->images);
    plan_bind_name(p, "labels", lane->labels);
    for (size_t i = 0; i < r->cfg.nets.n_teacher_values; i++) {
        snprintf(name, sizeof(name), "teacher_%s", r->cfg.nets.teacher_values[i].name);
        plan_bind_name(p, name, s->teacher[i]);
    }
    plan_bind_name(p, "directions", r->directions);
    plan_bind_name(p, "mask", s->mask);
    plan_bind_name(p, "partners", lane->partners);
    plan_bind_name(p, "share", s->shares);
    plan_bind_name(p, "direction", s->direction);
    plan_bind_name(p, "logits", s->logits);
    plan_bind_name(p, "features", s->features);
    plan_bind_name(p, "projected", s->projected);
    if (r->whole)
        plan_bind_name(p, "seed/logits", r->whole->grads + lane->first * r->cfg.nets.classes);
    bind_losses(r, p, lane);
}

/* What statistics can be taken of: everything that this lane or chunk has. */
static struct stats_batch stats_batch(const struct replica *r, const int32_t *labels, int64_t count)
{
    const struct nets *n = &r->cfg.nets;
    bool comparable = n->teacher && (n->projector || n->student_width == n->teacher_width);

    return (struct stats_batch){
        .count = count,
        .classes = n->classes,
        .width = n->projector ? n->teacher_width : n->student_width,
        .logits = r->staging->logits,
        .labels = labels,
        .features = n->projector ? r->staging->projected : r->staging->features,
        .directions = comparable && r->has_directions ? r->directions : NULL,
    };
}

/* Of each loss: the lane's own values, or its samples' of the whole batch. */
static void sum_losses(const struct replica *r, const struct lane *lane, double *sums)
{
    const struct nets *n = &r->cfg.nets;

    for (size_t k = 0; k < n->n_losses; k++) {
        const float *values = nets_loss_spans_batch(&n->losses[k])
                                  ? r->whole->losses + (int64_t)k * lane->batch + lane->first
                                  : r->staging->losses[k];

        for (int64_t i = 0; i < lane->count; i++)
            sums[SUM_LOSS + k] += (double)values[i];
    }
}

/* The teacher as the losses read it. */
static struct plan *lanes_teacher(const struct replica *r)
{
    return r->tapped ? r->tapped : r->teacher;
}

void replica_lane_logits(struct replica *r, const struct lane *lane, float *scratch)
{
    struct replica_staging *s = r->staging;
    float *const values[NETS_MAX_TEACHER_VALUES] = {[TEACHER_LOGITS] = s->teacher[TEACHER_LOGITS]};
    struct plan *p;

    if (!lane->count)
        return;
    run_teacher(r, lanes_teacher(r), lane->images, lane->count, values);
    p = train_plan(r, lane->count);
    bind_lane(r, p, lane);
    plan_set_region(p, REGION_GRADS, scratch);
    plan_run_to(p, plan_io_find(p, "logits"));
    whole_put(r->whole, lane->batch, lane->first, lane->count, s->logits,
              s->teacher[TEACHER_LOGITS]);
}

void replica_lane(struct replica *r, const struct lane *lane, float *grads, double *sums)
{
    const struct nets *n = &r->cfg.nets;
    struct stats_batch batch = stats_batch(r, replica_labels(r, lane), lane->count);
    bool teacher = nets_uses(n) != 0;
    float share = (float)((double)lane->count / (double)lane->batch);
    struct plan *p;

    memset(sums, 0, SUM_COUNT * sizeof(*sums));
    if (!lane->count) {
        memset(grads, 0, flat_grad_count(&r->flat) * sizeof(float));
        return;
    }
    if (teacher)
        run_teacher(r, lanes_teacher(r), lane->images, lane->count, r->staging->teacher);
    if (n->dropout)
        fill_mask(r, lane);
    if (n->mixes)
        fill_mixture(r, lane);
    p = train_plan(r, lane->count);
    bind_lane(r, p, lane);
    plan_set_region(p, REGION_GRADS, grads);
    plan_run(p);
    for (size_t i = r->flat.param_count; i < flat_grad_count(&r->flat); i++)
        grads[i] *= share;
    if (teacher)
        batch.teacher_features = r->staging->teacher[TEACHER_FEATURES];
    if (batch.width != n->teacher_width)
        batch.teacher_features = NULL;
    batch.norms = lane->norms;
    batch.norms_of_teacher = lane->teacher_norms;
    stats_sum(&batch, sums);
    sum_losses(r, lane, sums);
}

const float *replica_teacher_features(const struct replica *r)
{
    return r->staging->teacher[TEACHER_FEATURES];
}

void replica_watch(struct replica *r, struct nonfinite *first)
{
    if (r->teacher)
        plan_watch(r->teacher, first);
    if (r->tapped)
        plan_watch(r->tapped, first);
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
    double total = 0;

    for (size_t from = 0; from < r->flat.param_count; from += BLOCK) {
        size_t to = from + BLOCK < r->flat.param_count ? from + BLOCK : r->flat.param_count;
        double sum = 0;

        for (size_t i = from; i < to; i++)
            sum += (double)grads[i] * (double)grads[i];
        total += sum;
    }
    return sqrt(total);
}

void replica_eval(struct replica *r, const float *images, const int32_t *labels, int64_t count,
                  const double *teacher_norms, double *sums)
{
    struct replica_staging *s = r->staging;
    struct stats_batch batch = stats_batch(r, labels, count);

    plan_bind_name(r->eval, "images", images);
    plan_bind_name(r->eval, "logits", s->logits);
    plan_bind_name(r->eval, "features", s->features);
    plan_bind_name(r->eval, "projected", s->projected);
    plan_run(r->eval);
    memset(sums, 0, SUM_COUNT * sizeof(*sums));
    batch.teacher_norms = batch.width == r->cfg.nets.teacher_width ? teacher_norms : NULL;
    batch.cross_entropy = true;
    stats_sum(&batch, sums);
}
