/* Class means: given by the job, taken from the cache, or made by passes of the teacher over the training
 * set in chunks dealt to the ranks. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "worker/data/loader.h"
#include "worker/session.h"

static bool augments(const struct session *s)
{
    return s->job->teacher->means->transform == DISTILLD__MEANS_SPEC__TRANSFORM__TRAIN;
}

/* How images are shown, with seed and number of views where they are random. free(). */
static char *view_text(const struct session *s)
{
    const Distilld__MeansSpec *m = s->job->teacher->means;
    char *augment, *text;

    if (!augments(s))
        return str_dup("eval");
    augment = session_augmentation(s);
    text = str_fmt("train seed=%" PRIu64 " passes=%d augment=%s", m->seed, m->passes, augment);
    free(augment);
    return text;
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
                                             augments(s) ? pass : -1, NULL, err);

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

/* Whether all ranks have them in their cache, which hosts need not share; else none takes them. */
static bool from_cache(struct session *s, const char *folder, const struct means_provenance *p)
{
    struct error miss = {0};
    int64_t hits = means_cache_load(folder, p, &s->means, &miss), here = hits;

    if (s->rank == 0 && !here && miss.code != ERR_NOT_FOUND)
        progress_say(&s->progress, "warning: %s; the class means are computed anew", miss.msg);
    coll_sum_i64(s->coll, &hits, 1);
    if (hits == s->size) {
        s->means_origin = "cached";
        return true;
    }
    if (here)
        means_free(&s->means);
    s->means = (struct class_means){0};
    return false;
}

static bool make(struct session *s, const struct means_provenance *p, struct error *err)
{
    char *cache = session_cache_folder(), *folder = str_fmt("%s/class_means", cache);
    bool ok = true;

    if (!from_cache(s, folder, p)) {
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

bool session_class_means(struct session *s, struct error *err)
{
    const char *given = s->job->teacher->class_means;
    char *view = view_text(s), *transform = session_transform(s, view), *path;
    struct means_provenance p = {.teacher_sha256 = s->teacher_sha256,
                                 .data_sha256 = s->data_sha256,
                                 .transform = transform,
                                 .isa = s->engine,
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
    free(view);
    return ok;
}
