/* From a job to the settings of what computes it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/data/sampler.h"
#include "worker/session.h"

/* A lane's samples, or an even part of those that are more than 64. */
int64_t session_chunk(const JobSpec *job)
{
    int64_t lane = (job->train->batch + job->train->lanes - 1) / job->train->lanes;
    int64_t parts = (lane + 63) / 64;

    return (lane + parts - 1) / parts;
}

/* Adds the sizes of the lanes of a batch of n samples that are not in the list yet. */
static size_t add_lane_sizes(int64_t *sizes, size_t count, int64_t n, int64_t lanes)
{
    for (int64_t l = 0; l < lanes; l++) {
        int64_t size = sampler_cut(n, lanes, l + 1) - sampler_cut(n, lanes, l);
        bool known = size == 0;

        for (size_t i = 0; i < count; i++)
            known |= sizes[i] == size;
        if (!known)
            sizes[count++] = size;
    }
    return count;
}

static struct nets_loss nets_loss_of(const LossSpec *spec)
{
    struct nets_loss loss = {.def = loss_find(spec->kind)};

    for (size_t i = 0; i < n_loss_params; i++)
        *(double *)(void *)((char *)&loss.params + loss_param_table[i].offset) =
            job_loss_number(spec, loss_param_table[i].name);
    return loss;
}

static bool configure_losses(const JobSpec *job, struct nets *n, struct error *err)
{
    if (job->n_losses > NETS_MAX_LOSSES)
        return err_set(err, ERR_INVALID, "#/losses: at most %d, got %zu", NETS_MAX_LOSSES,
                       job->n_losses);
    for (size_t i = 0; i < job->n_losses; i++)
        n->losses[n->n_losses++] = nets_loss_of(job->losses[i]);
    if (!n->n_losses && job->kind == DISTILLD__JOB_KIND__TRAIN)
        n->losses[n->n_losses++] = (struct nets_loss){.def = &loss_ce};
    return true;
}

static bool configure_projector(const JobSpec *job, struct replica_config *cfg, struct error *err)
{
    struct nets *n = &cfg->nets;
    bool differ = n->student_width != n->teacher_width;
    bool compares = nets_uses(n) & (USES_TEACHER_FEATURES | USES_CLASS_MEANS);

    if (!n->student || !n->teacher || job->kind != DISTILLD__JOB_KIND__DISTILL)
        return true;
    if (job->student->projector == DISTILLD__PROJECTOR__NEVER && differ && compares)
        return err_set(err, ERR_INVALID,
                       "#/student/projector: is \"never\", but a loss compares features, which are "
                       "%" PRId64 " wide in %s and %" PRId64 " in %s",
                       n->student_width, n->student->name, n->teacher_width, n->teacher->name);
    n->projector = job->student->projector == DISTILLD__PROJECTOR__ALWAYS ||
                   (job->student->projector == DISTILLD__PROJECTOR__AUTO && differ && compares);
    cfg->dropout = job->student->projector_dropout;
    n->dropout = n->projector && cfg->dropout > 0;
    n->trap = n->projector && job->student->init == DISTILLD__STUDENT_INIT__REPO;
    return true;
}

static enum convolution convolution_of(Distilld__TeacherSpec__Convolution said)
{
    static const enum convolution of[] = {
        [DISTILLD__TEACHER_SPEC__CONVOLUTION__AUTO] = CONVOLUTION_AUTO,
        [DISTILLD__TEACHER_SPEC__CONVOLUTION__DIRECT] = CONVOLUTION_DIRECT,
        [DISTILLD__TEACHER_SPEC__CONVOLUTION__WINOGRAD] = CONVOLUTION_WINOGRAD,
    };

    return of[said];
}

static enum precision precision_of(Distilld__TeacherSpec__Precision said)
{
    static const enum precision of[] = {
        [DISTILLD__TEACHER_SPEC__PRECISION__FLOAT32] = PRECISION_FLOAT32,
        [DISTILLD__TEACHER_SPEC__PRECISION__INT8] = PRECISION_INT8,
    };

    return of[said];
}

bool session_configure(const JobSpec *job, const struct job_models *models, int64_t samples,
                       int64_t classes, int64_t image_size, struct replica_config *cfg,
                       int64_t **lane_sizes, struct error *err)
{
    struct nets *n = &cfg->nets;
    int64_t lanes = job->train->lanes, batch = job->train->batch;

    *cfg = (struct replica_config){.backend = "cpu",
                                   .threads = job->resources->threads,
                                   .seed = job->train->seed,
                                   .chunk = session_chunk(job)};
    if (job->teacher) {
        cfg->teacher_convolution = convolution_of(job->teacher->convolution);
        cfg->teacher_precision = precision_of(job->teacher->precision);
    }
    if (job->student)
        cfg->student_convolution = convolution_of(job->student->convolution);
    *lane_sizes = NEW_ARRAY(int64_t, 2 * (size_t)lanes);
    n->classes = classes;
    n->image_size = image_size;
    n->mixes = samples && job->data->augment->mix;
    n->student = job_model_def(models->student);
    n->teacher = job_model_def(models->teacher);
    if (!configure_losses(job, n, err) || !nets_measure(n, err) ||
        !configure_projector(job, cfg, err))
        return false;
    if (samples) {
        cfg->optim = optim_find(job->optimizer->kind);
        cfg->decay_vectors = job->optimizer->decay_vectors;
        cfg->lane_sizes = *lane_sizes;
        if (samples >= batch)
            cfg->n_lane_sizes = add_lane_sizes(*lane_sizes, 0, batch, lanes);
        cfg->n_lane_sizes = add_lane_sizes(*lane_sizes, cfg->n_lane_sizes, samples % batch, lanes);
        if (samples >= batch)
            cfg->batch_sizes[cfg->n_batch_sizes++] = batch;
        if (samples % batch)
            cfg->batch_sizes[cfg->n_batch_sizes++] = samples % batch;
    }
    return true;
}

char *session_cache_folder(void)
{
    const char *own = getenv("DISTILLD_CACHE"), *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");

    if (own && *own)
        return str_dup(own);
    if (xdg && *xdg)
        return str_fmt("%s/distilld", xdg);
    return str_fmt("%s/.cache/distilld", home && *home ? home : "/tmp");
}

struct dataset_config session_dataset(const JobSpec *job)
{
    const Distilld__DataSpec *d = job->data;

    return (struct dataset_config){.source = d->source,
                                   .classes = d->n_classes ? d->classes : NULL,
                                   .n_classes = d->n_classes,
                                   .train_limit = d->train_limit,
                                   .val_fraction = d->val_fraction,
                                   .skip_corrupt = d->on_corrupt == DISTILLD__ON_CORRUPT__SKIP,
                                   .image_size = d->image_size,
                                   .decode_threads = d->decode_threads};
}

int session_resize(const JobSpec *job)
{
    return job->data->has_resize ? job->data->resize : job->data->image_size * 8 / 7;
}

void session_normalisation(const JobSpec *job, const double **mean, const double **std)
{
    const struct data_source *source = data_source_of(job->data->source, NULL);

    *mean = job->data->n_mean ? job->data->mean : source->mean;
    *std = job->data->n_std ? job->data->std : source->std;
}

struct train_loader_config session_loader(const struct session *s)
{
    return (struct train_loader_config){.data = s->train,
                                        .augment = &s->augment,
                                        .mix = s->replica->cfg.nets.mixes ? &s->mix : NULL,
                                        .in_order = !s->job->data->shuffle,
                                        .seed = s->job->train->seed,
                                        .last_epoch = s->job->train->epochs,
                                        .views = s->views,
                                        .batch = s->job->train->batch,
                                        .lanes = s->lanes,
                                        .lane_lo = s->lane_lo,
                                        .lane_hi = s->lane_hi};
}

struct optim_hyper session_hyper(const JobSpec *job)
{
    const Distilld__OptimizerSpec *o = job->optimizer;

    return (struct optim_hyper){.momentum = o->momentum,
                                .weight_decay = o->weight_decay,
                                .nesterov = o->nesterov,
                                .beta1 = o->beta1,
                                .beta2 = o->beta2,
                                .epsilon = o->epsilon};
}
