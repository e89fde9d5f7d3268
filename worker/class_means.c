/* Class means: given by the job, taken from the cache, or made by one pass of the teacher over the
 * training set in chunks dealt to the ranks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "proto/base/str.h"
#include "worker/data/loader.h"
#include "worker/session.h"

/* What the evaluation view does to a pixel, as text: part of the provenance. */
static char *transform_text(const struct session *s)
{
    const double *mean, *std;
    struct buf b = buf_new(0);

    session_normalisation(s->job, &mean, &std);
    buf_fmt(&b, "eval mean=%.9g,%.9g,%.9g std=%.9g,%.9g,%.9g", mean[0], mean[1], mean[2], std[0],
            std[1], std[2]);
    if (dataset_encoded(s->train))
        buf_fmt(&b, " resize=%d centre=%d", session_resize(s->job), dataset_size(s->train));
    if (job_models_teacher_norm(&s->models, &mean, &std))
        buf_fmt(&b, ", for the teacher mean=%.9g,%.9g,%.9g std=%.9g,%.9g,%.9g", mean[0], mean[1],
                mean[2], std[0], std[1], std[2]);
    return buf_take(&b);
}

static void show(struct session *s, int64_t done, int64_t total, double began)
{
    double seconds = clock_mono_s() - began;
    struct progress_state p = {.phase = "class means", .done = done, .total = total};

    if (s->rank != 0)
        return;
    p.images_per_s = seconds > 0 ? (double)(done * s->size) / seconds : 0;
    p.eta_s = done ? seconds / (double)done * (double)(total - done) : -1;
    progress_show(&s->progress, &p);
    uplink_progress(s->uplink, &p);
}

/* This rank's chunks, added up. */
static bool add_chunks(struct session *s, struct means_sums *sums, struct error *err)
{
    const struct nets *n = &s->replica->cfg.nets;
    struct loader *l = loader_open_chunks(s->train, &s->augment, s->chunk, s->rank, s->size, err);
    float *logits = NEW_ARRAY(float, (size_t)(s->chunk * n->classes));
    float *features = NEW_ARRAY(float, (size_t)(s->chunk * n->teacher_width));
    const struct batch *b;
    double began = clock_mono_s();
    int64_t done = 0;
    bool ok = l != NULL;

    while (ok && (b = loader_next(l))) {
        replica_teacher(s->replica, b->images, b->count, logits, features);
        ok = means_sums_add(sums, features, b->labels, b->count, b->samples, err);
        done += b->count;
        show(s, done, s->samples / s->size, began);
    }
    ok = ok && loader_ended(l, err);
    loader_close(l);
    free(features);
    free(logits);
    return ok;
}

static bool compute(struct session *s, const struct means_provenance *p, struct error *err)
{
    const struct nets *n = &s->replica->cfg.nets;
    size_t all = (size_t)(n->classes * n->teacher_width);
    struct means_sums sums;
    bool ok;

    means_sums_init(&sums, (int)n->classes, (int)n->teacher_width);
    ok = coll_agree(s->coll, add_chunks(s, &sums, err), err);
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

/* Means that nothing could be compared with are not made. */
static bool wanted(const struct session *s)
{
    const struct nets *n = &s->replica->cfg.nets;

    return !n->student || n->projector || n->student_width == n->teacher_width;
}

bool session_class_means(struct session *s, struct error *err)
{
    const char *given = s->job->teacher->class_means;
    char *transform = transform_text(s), *path;
    struct means_provenance p = {.teacher_sha256 = s->teacher_sha256,
                                 .data_sha256 = s->data_sha256,
                                 .transform = transform,
                                 .isa = backend_isa(),
                                 .chunk = (int)s->chunk,
                                 .threads = s->job->resources->threads};
    bool ok = true;

    pulse_phase("class means");
    if (wanted(s)) {
        ok = strcmp(given, "auto") == 0 ? make(s, &p, err)
                                        : coll_agree(s->coll, load_given(s, given, &p, err), err);
        if (ok) {
            replica_set_directions(s->replica, s->means.unit);
            path = rundir_file(&s->dir, "class_means.safetensors");
            ok = s->rank != 0 || means_save(&s->means, path, err);
            free(path);
            ok = coll_agree(s->coll, ok, err);
        }
    }
    free(transform);
    return ok;
}
