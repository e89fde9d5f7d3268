/* The data of a session, and what identifies them and the models. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/data/identity.h"
#include "worker/registered.h"
#include "worker/session.h"

static void set_augmentation(struct session *s)
{
    const Distilld__AugmentSpec *a = s->job->data->augment;
    const bool crop =
        a->has_random_resized_crop ? a->random_resized_crop : dataset_encoded(s->train);
    const Distilld__CacheSpec *cache = s->job->teacher ? s->job->teacher->cache : NULL;
    const double *mean, *std;

    session_normalisation(s->job, &mean, &std);
    augment_init(&s->augment, dataset_size(s->train), crop ? 0 : a->pad_crop, a->hflip,
                 s->job->train->seed, mean, std);
    if (cache && cache->has_seed)
        s->augment.seed = cache->seed;
    s->augment.resize = session_resize(s->job);
    s->augment.resized_crop = crop;
    s->augment.crop = (struct random_crop){.area = {a->scale_min, a->scale_max},
                                           .ratio = {a->ratio_min, a->ratio_max}};
    if (cache)
        s->views = augment_is_random(&s->augment) ? cache->views : 1;
}

static bool open_sets(struct session *s, struct error *err)
{
    const struct dataset_config cfg = session_dataset(s->job);

    return (s->train = dataset_open(&cfg, SPLIT_TRAIN, err)) &&
           (cfg.val_fraction == 0 || (s->val = dataset_open(&cfg, SPLIT_VAL, err))) &&
           (s->test = dataset_open(&cfg, SPLIT_TEST, err));
}

static void set_mix(struct session *s)
{
    const Distilld__MixSpec *m = s->job->data->augment->mix;

    if (m)
        s->mix = (struct mix){.mixup_alpha = m->mixup_alpha,
                              .cutmix_alpha = m->cutmix_alpha,
                              .prob = m->prob,
                              .switch_prob = m->switch_prob,
                              .seed = s->job->train->seed};
}

bool session_open_data(struct session *s, struct error *err)
{
    const Distilld__DataSpec *d = s->job->data;

    if (!open_sets(s, err))
        return err_wrap(err, "data.source");
    if (dataset_classes(s->train) != dataset_classes(s->test))
        return err_set(err, ERR_DATA, "%s: %d classes in the training set, %d in the test set",
                       d->source, dataset_classes(s->train), dataset_classes(s->test));
    if (dataset_size(s->train) != dataset_size(s->test))
        return err_set(err, ERR_DATA,
                       "%s: images of %d pixels in the training set, of %d in the test set",
                       d->source, dataset_size(s->train), dataset_size(s->test));
    set_augmentation(s);
    set_mix(s);
    return true;
}

static bool is_registered(const struct session *s, struct error *err)
{
    char *cache = session_cache_folder();
    bool ok = registered_check(s->job->data->source, cache, err);

    free(cache);
    return ok;
}

/* Rank 0. */
static bool hash_data(struct session *s, bool anew, struct error *err)
{
    char *cache = session_cache_folder();
    bool ok = identity_of(s->train, cache, anew, s->data_sha256, NULL, err) &&
              identity_of(s->test, cache, anew, s->test_sha256, NULL, err) &&
              (!s->val || identity_of(s->val, cache, anew, s->val_sha256, NULL, err));

    free(cache);
    return ok;
}

/* The file that the job names may be another one when it goes on. */
static void hash_student_graph(struct session *s)
{
    const struct nets *n = &s->replica->cfg.nets;
    char *text = n->student ? job_model_structure(n->student, n->image_size, n->classes) : NULL;

    if (text)
        sha256_of(text, strlen(text), s->student_graph_sha256);
    free(text);
}

/* Rank 0's way to compute what the teacher gives. */
static void describe_engine(struct session *s)
{
    char steps[SHA256_HEX];

    teacher_algorithm(s->replica->teacher, TEACHER_PLAIN, steps);
    snprintf(s->engine, sizeof(s->engine), "%s, %s,%s steps %.16s", backend_isa(), PACKAGE_STRING,
             s->ranges.of[TEACHER_PLAIN] ? " int8" : "", steps);
    coll_bcast(s->coll, s->engine, sizeof(s->engine), 0);
}

/* Bad records that the job goes on without are no secret. */
static void tell_skipped(struct session *s, const struct dataset *d, const char *split)
{
    if (!d || !dataset_skipped(d))
        return;
    progress_say(&s->progress, "warning: %" PRId64 " %s records are skipped:", dataset_skipped(d),
                 split);
    for (size_t k = 0; dataset_skipped_why(d, k); k++)
        progress_say(&s->progress, "  %s", dataset_skipped_why(d, k));
}

bool session_identify(struct session *s, bool anew, struct error *err)
{
    if (s->rank == 0) {
        tell_skipped(s, s->train, "training");
        tell_skipped(s, s->val, "validation");
        tell_skipped(s, s->test, "test");
    }
    if (!coll_agree(s->coll, s->rank != 0 || is_registered(s, err), err))
        return false;
    if (!coll_agree(s->coll, s->rank != 0 || hash_data(s, anew, err), err))
        return false;
    coll_bcast(s->coll, s->data_sha256, sizeof(s->data_sha256), 0);
    if (s->job->teacher) {
        weights_sha256(&s->teacher, s->teacher_sha256);
        describe_engine(s);
    }
    hash_student_graph(s);
    return true;
}
