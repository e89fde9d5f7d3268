/* Class means: given by the job, taken from the cache, or made by passes of the teacher over the training
 * set in chunks dealt to the ranks. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "proto/wire/pbjson.h"
#include "worker/data/loader.h"
#include "worker/session.h"

static bool augments(const struct session *s)
{
    return s->job->teacher->means->transform == DISTILLD__MEANS_SPEC__TRANSFORM__TRAIN;
}

/* What is done to images: their view, and seed and number of views where they are random. free(). */
static char *view_text(const struct session *s)
{
    const Distilld__MeansSpec *m = s->job->teacher->means;
    struct json *augment;
    char *settings, *text;

    if (!augments(s))
        return str_dup("eval");
    augment = pbjson_write(&s->job->data->augment->base);
    js_delete(augment, "mix"); /* not done here */
    settings = js_text(augment, JS_COMPACT | JS_SORTED);
    text = str_fmt("train seed=%" PRIu64 " passes=%d augment=%s", m->seed, m->passes, settings);
    free(settings);
    js_free(augment);
    return text;
}

/* The same with what is done to a pixel, and which of an ONNX teacher's values was called its features: part
 * of the provenance. free(). */
static char *transform_text(const struct session *s)
{
    const char *features = s->job->teacher->features;
    const double *mean, *std;
    char *view = view_text(s);
    struct buf b = buf_new(0);

    session_normalisation(s->job, &mean, &std);
    buf_fmt(&b, "%s mean=%.9g,%.9g,%.9g std=%.9g,%.9g,%.9g", view, mean[0], mean[1], mean[2],
            std[0], std[1], std[2]);
    if (dataset_encoded(s->train))
        buf_fmt(&b, " resize=%d centre=%d", session_resize(s->job), dataset_size(s->train));
    if (job_models_teacher_norm(&s->models, &mean, &std))
        buf_fmt(&b, ", for the teacher mean=%.9g,%.9g,%.9g std=%.9g,%.9g,%.9g", mean[0], mean[1],
                mean[2], std[0], std[1], std[2]);
    if (features)
        buf_fmt(&b, ", features %s", features);
    free(view);
    return buf_take(&b);
}

/* done: images of this rank so far, over all passes. */
static void show(struct session *s, int64_t done, double began)
{
    double seconds = clock_mono_s() - began;
    int64_t total = s->samples / s->size * s->job->teacher->means->passes;
    struct progress_state p = {.phase = "class means", .done = done, .total = total};

    if (s->rank != 0)
        return;
    p.images_per_s = seconds > 0 ? (double)(done * s->size) / seconds : 0;
    p.eta_s = done ? seconds / (double)done * (double)(total - done) : -1;
    progress_show(&s->progress, &p);
    uplink_progress(s->uplink, &p);
}

/* This rank's chunks of a pass, added up; `before`: its images in earlier ones. */
static bool add_chunks(struct session *s, struct loader *l, struct means_sums *sums, int64_t before,
                       double began, struct error *err)
{
    const struct nets *n = &s->replica->cfg.nets;
    float *logits = NEW_ARRAY(float, (size_t)(s->chunk * n->classes));
    float *features = NEW_ARRAY(float, (size_t)(s->chunk * n->teacher_width));
    const struct batch *b;
    int64_t done = before;
    bool ok = true;

    while (ok && (b = loader_next(l))) {
        replica_teacher(s->replica, b->images, b->count, logits, features);
        ok = means_sums_add(sums, features, b->labels, b->count, b->samples, err);
        done += b->count;
        show(s, done, began);
    }
    ok = ok && loader_ended(l, err);
    free(features);
    free(logits);
    return ok;
}

static bool add_passes(struct session *s, struct means_sums *sums, struct error *err)
{
    const Distilld__MeansSpec *m = s->job->teacher->means;
    struct augment views = s->augment;
    double began = clock_mono_s();
    bool ok = true;

    views.seed = rng_key(m->seed, RNG_MEANS);
    for (int pass = 0; ok && pass < m->passes; pass++) {
        struct loader *l = loader_open_views(s->train, &views, s->chunk, s->rank, s->size,
                                             augments(s) ? pass : -1, err);

        ok = l && add_chunks(s, l, sums, s->samples / s->size * pass, began, err);
        loader_close(l);
    }
    return ok;
}

static bool compute(struct session *s, const struct means_provenance *p, struct error *err)
{
    const struct nets *n = &s->replica->cfg.nets;
    size_t all = (size_t)(n->classes * n->teacher_width);
    struct means_sums sums;
    bool ok;

    means_sums_init(&sums, (int)n->classes, (int)n->teacher_width);
    ok = coll_agree(s->coll, add_passes(s, &sums, err), err);
    if (ok) {
        coll_sum_i128(s->coll, sums.sums, all);
        coll_sum_i64(s->coll, sums.counts, (size_t)n->classes);
        ok = means_finish(&sums, p, &s->means, err);
    }
    means_sums_free(&sums);
    s->means_origin = "computed";
    return ok;
}

/* Rank 0 looks into the cache; what it finds, all ranks read. */
static bool from_cache(struct session *s, const char *folder, const struct means_provenance *p,
                       bool *found, struct error *err)
{
    struct error miss = {0};
    int64_t hit = s->rank == 0 && means_cache_load(folder, p, &s->means, &miss);

    if (s->rank == 0 && !hit && miss.code != ERR_NOT_FOUND)
        progress_say(&s->progress, "warning: %s; the class means are computed anew", miss.msg);
    coll_bcast(s->coll, &hit, sizeof(hit), 0);
    *found = hit != 0;
    if (!hit)
        return true;
    s->means_origin = "cached";
    return coll_agree(s->coll, s->rank == 0 || means_cache_load(folder, p, &s->means, err), err);
}

static bool make(struct session *s, const struct means_provenance *p, struct error *err)
{
    char *cache = session_cache_folder(), *folder = str_fmt("%s/class_means", cache);
    bool found, ok = from_cache(s, folder, p, &found, err);

    if (ok && !found) {
        struct error ignored;

        ok = compute(s, p, err);
        /* A cache that cannot be written only costs time. */
        if (ok && s->rank == 0 && file_make_dirs(folder, 0755, &ignored))
            means_cache_save(folder, &s->means, &ignored);
    }
    free(folder);
    free(cache);
    return ok;
}

static bool load_given(struct session *s, const char *path, const struct means_provenance *p,
                       struct error *err)
{
    const struct nets *n = &s->replica->cfg.nets;
    bool unverified = s->job->teacher->class_means_unverified;

    s->means_origin = unverified ? "unverified" : "given";
    if (unverified && means_load_json(&s->means, path, err) &&
        means_fit(&s->means, (int)n->classes, (int)n->teacher_width, path, err))
        return true;
    if (!unverified && means_load(&s->means, path, err) &&
        means_check(&s->means, p, (int)n->classes, (int)n->teacher_width, path, err))
        return true;
    return err_wrap(err, "teacher.class_means");
}

/* What the teacher is computed with: its convolutions round in one way or another. */
static char *arithmetic_text(const struct session *s)
{
    static const char *const convolutions[] = {
        [DISTILLD__TEACHER_SPEC__CONVOLUTION__AUTO] = "auto",
        [DISTILLD__TEACHER_SPEC__CONVOLUTION__DIRECT] = "direct",
        [DISTILLD__TEACHER_SPEC__CONVOLUTION__WINOGRAD] = "winograd",
    };

    return str_fmt("%s, convolutions %s", backend_isa(),
                   convolutions[s->job->teacher->convolution]);
}

bool session_class_means(struct session *s, struct error *err)
{
    const char *given = s->job->teacher->class_means;
    char *transform = transform_text(s), *isa = arithmetic_text(s), *path;
    struct means_provenance p = {.teacher_sha256 = s->teacher_sha256,
                                 .data_sha256 = s->data_sha256,
                                 .transform = transform,
                                 .isa = isa,
                                 .chunk = (int)s->chunk,
                                 .threads = s->job->resources->threads};
    bool ok;

    pulse_phase("class means");
    ok = strcmp(given, "auto") == 0 ? make(s, &p, err)
                                    : coll_agree(s->coll, load_given(s, given, &p, err), err);
    if (ok) {
        replica_set_directions(s->replica, s->means.unit);
        replica_set_centres(s->replica, s->means.mean);
        path = rundir_file(&s->dir, "class_means.safetensors");
        ok = s->rank != 0 || means_save(&s->means, path, err);
        free(path);
        ok = coll_agree(s->coll, ok, err);
    }
    free(transform);
    free(isa);
    return ok;
}
