/* Numbers of no meaning: they do not change what a step costs, as long as they are finite. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "worker/bench/bench.h"
#include "worker/calibrate.h"
#include "worker/data/sampler.h"

/* Each kind of number has a stream of its own. */
enum stream {
    IMAGES,
    LABELS,
    DIRECTIONS,
    TEACHER
};

static uint64_t stream(const struct session *s, enum stream which)
{
    return rng_key(rng_key_text(s->job->train->seed, "bench"), which);
}

/* Mean 0, deviation 1. */
static void fill(float *out, int64_t n, uint64_t key)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)(sqrt(12) * (rng_uniform(key, (uint64_t)i) - 0.5));
}

struct random_teacher {
    struct graph *g;
    uint64_t key;
};

static bool random_tensor(void *arg, const char *name, const struct shape *shape, float *out,
                          struct error *err)
{
    const struct random_teacher *t = arg;
    enum param_role role = t->g->values.at[graph_find(t->g, name)].role;
    int64_t n = shape_count(shape);
    float scale = shape->rank > 1 ? (float)sqrt((double)shape->dim[0] / (double)n) : 0;

    (void)err;
    fill(out, n, rng_key_text(t->key, name));
    for (int64_t i = 0; i < n; i++)
        out[i] = role == ROLE_BN_GAMMA || role == ROLE_BN_VAR ? 1 : scale * out[i];
    return true;
}

/* Of image `sample` of the random batch. */
static void draw_image(const struct session *s, int64_t sample, int64_t count, float *out)
{
    fill(out, count, rng_key(stream(s, IMAGES), (uint64_t)sample));
}

static void add_random(struct calibration *c, const struct session *s,
                       const struct replica_config *cfg, int64_t images)
{
    const int64_t image = 3 * cfg->nets.image_size * cfg->nets.image_size;
    float *chunk = NEW_ARRAY(float, (size_t)(cfg->chunk * image));

    for (int64_t at = 0; at < images; at += cfg->chunk) {
        int64_t count = images - at < cfg->chunk ? images - at : cfg->chunk;

        for (int64_t i = 0; i < count; i++)
            draw_image(s, at + i, image, chunk + i * image);
        calibration_add(c, chunk, count);
    }
    free(chunk);
}

/* Over the job's images or the random batch, all of it on every rank. */
static bool calibrate(struct session *s, const struct replica_config *cfg, struct random_teacher *t,
                      struct error *err)
{
    int64_t images = s->job->teacher->calibration_images, batch = s->job->train->batch;
    struct calibration *c = calibration_open(cfg, random_tensor, t, err);
    bool ok = c;

    if (c && s->train)
        ok = calibration_add_set(c, s->train, &s->augment, images, 0, 1, err);
    else if (c)
        add_random(c, s, cfg, images < batch ? images : batch);
    ok = ok && calibration_end(c, &s->ranges, err);
    calibration_close(c);
    return ok || err_wrap(err, "#/teacher/precision");
}

static bool open_replica(struct session *s, struct replica_config *cfg, struct random_teacher *t,
                         struct error *err)
{
    if (cfg->teacher_precision == PRECISION_INT8) {
        if (!calibrate(s, cfg, t, err))
            return false;
        cfg->teacher_ranges = &s->ranges;
    }
    s->replica = replica_open(cfg, random_tensor, t, err);
    return s->replica != NULL;
}

bool bench_replica(struct session *s, struct replica_config *cfg, struct error *err)
{
    const struct nets *n = &cfg->nets;
    struct random_teacher t = {.key = stream(s, TEACHER)};

    if (n->teacher)
        t.g = nets_inference_graph(n->teacher, 1, n->image_size, n->classes, false);
    open_replica(s, cfg, &t, err);
    graph_free(t.g);
    if (!s->replica)
        return err_wrap(err, "a batch of %d on %d lanes", s->job->train->batch,
                        s->job->train->lanes);
    replica_init(s->replica);
    return true;
}

double *bench_directions(const struct session *s)
{
    const struct nets *n = &s->replica->cfg.nets;
    int width = (int)n->teacher_width;
    size_t count = (size_t)n->classes * (size_t)width;
    float *unit = NEW_ARRAY(float, count);
    double *centres = NEW_ARRAY(double, count);

    fill(unit, (int64_t)count, stream(s, DIRECTIONS));
    for (size_t i = 0; i < count; i++)
        centres[i] = (double)unit[i];
    for (int64_t c = 0; c < n->classes; c++)
        means_direction(centres + c * width, width, unit + c * width);
    replica_set_directions(s->replica, unit);
    replica_set_centres(s->replica, centres);
    free(unit);
    return centres;
}

struct bench_batch {
    struct batch batch;
    int64_t image; /* floats in one */
    float *images;
    int32_t *labels, *partners;
    int64_t *samples;
};

static void draw(struct bench_batch *b, const struct session *s)
{
    const int64_t first = b->batch.first, classes = s->replica->cfg.nets.classes;

    for (int64_t i = 0; i < b->batch.count; i++) {
        uint64_t sample = (uint64_t)(first + i);

        draw_image(s, first + i, b->image, b->images + i * b->image);
        b->samples[i] = first + i;
        b->labels[i] = (int32_t)rng_below(stream(s, LABELS), sample, (uint64_t)classes);
        b->partners[i] = (int32_t)((b->labels[i] + 1) % classes);
    }
}

struct bench_batch *bench_batch_new(const struct session *s)
{
    const struct nets *n = &s->replica->cfg.nets;
    struct bench_batch *b = NEW(struct bench_batch);
    int64_t all = s->job->train->batch, first = sampler_cut(all, s->lanes, s->lane_lo);
    int64_t count = sampler_cut(all, s->lanes, s->lane_hi) - first;

    b->image = 3 * n->image_size * n->image_size;
    b->images = mem_try_aligned(64, (size_t)(count * b->image) * sizeof(float));
    ASSERT(b->images);
    b->labels = NEW_ARRAY(int32_t, (size_t)count);
    b->partners = NEW_ARRAY(int32_t, (size_t)count);
    b->samples = NEW_ARRAY(int64_t, (size_t)count);
    b->batch = (struct batch){.n = all,
                              .first = first,
                              .count = count,
                              .images = b->images,
                              .labels = b->labels,
                              .samples = b->samples,
                              .partners = n->mixes ? b->partners : NULL,
                              .share = n->mixes ? 0.7 : 1};
    draw(b, s);
    return b;
}

void bench_batch_free(struct bench_batch *b)
{
    if (!b)
        return;
    free(b->images);
    free(b->labels);
    free(b->partners);
    free(b->samples);
    free(b);
}

const struct batch *bench_batch_get(const struct bench_batch *b)
{
    return &b->batch;
}

size_t bench_batch_bytes(const struct bench_batch *b)
{
    size_t image = (size_t)b->image * sizeof(float);

    return (size_t)b->batch.count * (image + 2 * sizeof(int32_t) + sizeof(int64_t));
}
