/* What is done with one lane of a training batch, and with one chunk in evaluation. */
#include <stdio.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "worker/means/means.h"
#include "worker/replica.h"
#include "worker/staging.h"
#include "worker/stats.h"

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

/* From the file where the teacher's outputs are kept. */
static void recall(const struct replica *r, const struct lane *lane,
                   float *const values[NETS_MAX_TEACHER_VALUES])
{
    const struct nets *n = &r->cfg.nets;

    for (size_t i = 0, at = 0; i < n->n_teacher_values; i++) {
        if (!teacher_makes(n, i))
            continue;
        for (int64_t k = 0; values[i] && k < lane->count; k++)
            outputs_get(r->outputs, lane->view, lane->samples[k], at,
                        values[i] + (size_t)k * teacher_value_count(n, i));
        at++;
    }
}

/* values[]: as teacher_run fills them. */
static void teach(struct replica *r, const struct lane *lane,
                  float *const values[NETS_MAX_TEACHER_VALUES])
{
    double began = clock_mono_s();

    if (r->outputs)
        recall(r, lane, values);
    else
        teacher_run(r->teacher, TEACHER_READ, lane->images, lane->count, values);
    r->teacher_seconds += clock_mono_s() - began;
}

void replica_lane_logits(struct replica *r, const struct lane *lane, float *scratch)
{
    struct replica_staging *s = r->staging;
    float *const values[NETS_MAX_TEACHER_VALUES] = {[TEACHER_LOGITS] = s->teacher[TEACHER_LOGITS]};
    struct plan *p;

    if (!lane->count)
        return;
    teach(r, lane, values);
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
        teach(r, lane, r->staging->teacher);
    if (n->dropout)
        fill_mask(r, lane);
    if (n->mixes)
        fill_mixture(r, lane);
    p = train_plan(r, lane->count);
    bind_lane(r, p, lane);
    plan_set_region(p, REGION_GRADS, grads);
    p->grads = lane->grads_final;
    plan_run(p);
    p->grads = (struct grads_listener){NULL, NULL};
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

void replica_teacher(struct replica *r, const float *images, int64_t count, float *logits,
                     float *features)
{
    float *const values[NETS_MAX_TEACHER_VALUES] = {
        [TEACHER_LOGITS] = logits, [TEACHER_FEATURES] = features};

    teacher_run(r->teacher, TEACHER_PLAIN, images, count, values);
}
