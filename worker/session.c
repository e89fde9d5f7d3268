#define _GNU_SOURCE
#include "worker/session.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "proto/base/str.h"
#include "proto/wire/ref.h"
#include "proto/wire/validate.h"
#include "worker/catalog.h"
#include "worker/data/identity.h"
#include "worker/data/sampler.h"
#include "worker/fault.h"
#include "worker/footprint.h"
#include "worker/registered.h"
#include "worker/report/watch.h"

const struct session_figure session_figures[] = {
    {"top1", SUM_TOP1, 100},        {"top5", SUM_TOP5, 100},
    {"norm/student", SUM_NORM, 1},  {"norm/teacher", SUM_TEACHER_NORM, 1},
    {"norm/ratio", SUM_RATIO, 1},   {"norm/below_share", SUM_BELOW, 1},
    {"cos/class_mean", SUM_COS, 1}, {"loss_raw/ce", SUM_CE, 1},
};
const size_t n_session_figures = ARRAY_LEN(session_figures);

bool session_has_figure(const struct session *s, const struct session_figure *f, bool evaluation)
{
    const struct nets *n = &s->replica->cfg.nets;
    bool comparable = n->teacher && (n->projector || n->student_width == n->teacher_width);

    switch (f->sum) {
    case SUM_TEACHER_NORM:
    case SUM_RATIO:
    case SUM_BELOW: return comparable && (evaluation || nets_uses(n) != 0);
    case SUM_COS: return comparable && s->replica->has_directions;
    case SUM_CE: return evaluation;
    default: return true;
    }
}

static atomic_int signalled;

static void on_signal(int signal_number)
{
    (void)signal_number;
    atomic_store(&signalled, 1);
}

void session_catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGUSR1, &a, NULL);
    signal(SIGPIPE, SIG_IGN);
}

enum uplink_stop session_stop_requested(const struct session *s)
{
    enum uplink_stop asked = uplink_stop_requested(s->uplink);

    return asked == UPLINK_GO_ON && atomic_load(&signalled) ? UPLINK_PREEMPT : asked;
}

static bool check_kind(const JobSpec *job, const struct session_request *r, struct error *err)
{
    static const char *const commands[] = {"train", "class-means", "train", "eval"};

    if (r->kinds >> job->kind & 1)
        return true;
    return err_set(err, ERR_INVALID,
                   "%s is a job of kind \"%s\": run it with `distill-worker %s`, not `%s`",
                   r->job_path, job_kind_name(job), commands[job->kind], r->command);
}

static struct json *load_spec(const struct session_request *r, struct error *err)
{
    return job_load(r->job_path, NULL, r->sets, r->n_sets, err);
}

static void refuse_name(const char *pointer, const char *weights, struct problems *p)
{
    if (weights && ref_is_model(weights))
        problems_add(p, pointer,
                     "names of a registry are known to its daemon; here a file is "
                     "needed, got \"%s\"",
                     weights);
}

/* A normalisation that is the data's is none of the teacher's own: said or not, the job is the same. An ONNX
 * file may name another one, over which the job's word counts. */
static void settle_teacher_norm(JobSpec *job)
{
    Distilld__TeacherSpec *t = job->teacher;
    const double *mean, *std;

    if (!t || !t->n_mean || strcmp(t->model, "onnx") == 0)
        return;
    session_normalisation(job, &mean, &std);
    if (memcmp(mean, t->mean, 3 * sizeof(*mean)) != 0 || memcmp(std, t->std, 3 * sizeof(*std)) != 0)
        return;
    t->n_mean = t->n_std = 0;
}

static JobSpec *make_job(struct json *take_spec, const struct session_request *r, struct error *err)
{
    struct problems p = {0};
    struct catalog known;
    JobSpec *job;

    if (!take_spec)
        return NULL;
    worker_catalog(&known);
    job = job_from_json(take_spec, &p);
    if (job) {
        job_validate(job, &known, &p);
        refuse_name("#/teacher/weights", job->teacher ? job->teacher->weights : NULL, &p);
        refuse_name("#/student/weights", job->student ? job->student->weights : NULL, &p);
    }
    js_free(take_spec);
    catalog_free(&known);
    if (problems_none(&p, err)) {
        problems_free(&p);
        settle_teacher_norm(job);
        if (check_kind(job, r, err))
            return job;
    } else {
        err_wrap(err, "%s", r->job_path);
        problems_free(&p);
    }
    job_free(job);
    return NULL;
}

JobSpec *session_job(const struct session_request *r, struct error *err)
{
    return make_job(load_spec(r, err), r, err);
}

/* Rank 0 reads the job for all: only it has mpirun's standard input, and perhaps the file. */
static struct json *shared_spec(struct session *s, const struct session_request *r,
                                struct error *err)
{
    struct json *spec = s->rank == 0 ? load_spec(r, err) : NULL;
    char *text = NULL;
    int64_t length;

    if (!coll_agree(s->coll, s->rank != 0 || spec, err))
        return NULL;
    if (spec)
        text = js_text(spec, JS_COMPACT);
    length = text ? (int64_t)strlen(text) : 0;
    coll_bcast(s->coll, &length, sizeof(length), 0);
    if (!text)
        text = mem_calloc((size_t)length, 1);
    coll_bcast(s->coll, text, (size_t)length, 0);
    if (!spec)
        spec = js_parse(text, (size_t)length, err);
    free(text);
    return spec;
}

/* Samples that a chunk of the teacher and of evaluation has: a lane's, or an even part of one that is
 * larger than 64. */
static int64_t chunk_of(const JobSpec *job)
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

bool session_configure(const JobSpec *job, const struct job_models *models, int64_t samples,
                       int64_t classes, int64_t image_size, struct replica_config *cfg,
                       int64_t **lane_sizes, struct error *err)
{
    struct nets *n = &cfg->nets;
    int64_t lanes = job->train->lanes, batch = job->train->batch;

    *cfg = (struct replica_config){.backend = "cpu",
                                   .threads = job->resources->threads,
                                   .seed = job->train->seed,
                                   .chunk = chunk_of(job)};
    if (job->teacher)
        cfg->teacher_convolution = convolution_of(job->teacher->convolution);
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

static bool trains(const struct session *s)
{
    return s->job->kind == DISTILLD__JOB_KIND__TRAIN || s->job->kind == DISTILLD__JOB_KIND__DISTILL;
}

/* The folder, rank 0's streams, the others' log files. */
static bool open_outputs(struct session *s, const struct session_request *r, struct error *err)
{
    char *fallback = str_fmt("%s.out", s->job->name), *metrics = NULL, *logs;
    char *generation = NULL;
    const char *path = r->out ? r->out : fallback;
    bool ok = true;

    if (s->rank == 0)
        ok = rundir_open(&s->dir, path, s->job, err);
    else
        s->dir = (struct rundir){.path = str_dup(path), .lock_fd = -1};
    logs = rundir_file(&s->dir, "logs");
    if (ok && s->rank == 0 && s->size > 1)
        ok = file_make_dirs(logs, 0755, err);
    ok = coll_agree(s->coll, ok, err);
    if (ok && s->rank == 0) {
        metrics = rundir_file(&s->dir, "metrics.jsonl");
        generation = rundir_file(&s->dir, "generation");
        watch_guard(generation);
        progress_init(&s->progress, r->json);
        s->uplink = uplink_open(metrics, s->size);
    } else if (ok) {
        ok = rundir_take_errors(&s->dir, s->rank, err);
    }
    free(metrics);
    free(generation);
    free(logs);
    free(fallback);
    return coll_agree(s->coll, ok, err);
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

static void set_augmentation(struct session *s)
{
    const Distilld__AugmentSpec *a = s->job->data->augment;
    const bool crop =
        a->has_random_resized_crop ? a->random_resized_crop : dataset_encoded(s->train);
    const double *mean, *std;

    session_normalisation(s->job, &mean, &std);
    augment_init(&s->augment, dataset_size(s->train), crop ? 0 : a->pad_crop, a->hflip,
                 s->job->train->seed, mean, std);
    s->augment.resize = session_resize(s->job);
    s->augment.resized_crop = crop;
    s->augment.crop = (struct random_crop){.area = {a->scale_min, a->scale_max},
                                           .ratio = {a->ratio_min, a->ratio_max}};
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

static bool open_data(struct session *s, struct error *err)
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

static int64_t smallest(const int64_t *sizes, size_t n)
{
    int64_t least = INT64_MAX;

    for (size_t i = 0; i < n; i++)
        least = sizes[i] < least ? sizes[i] : least;
    return least;
}

/* What a loss of the job cannot do with this data is told, but no mistake. */
static void tell_doubts(struct session *s)
{
    const struct replica_config *c = &s->replica->cfg;

    for (size_t i = 0; i < c->nets.n_losses; i++) {
        const struct loss_def *def = c->nets.losses[i].def;
        int64_t samples = nets_loss_spans_batch(&c->nets.losses[i])
                              ? smallest(c->batch_sizes, c->n_batch_sizes)
                              : smallest(c->lane_sizes, c->n_lane_sizes);
        const char *doubt = def->doubt ? def->doubt(c->nets.classes, samples) : NULL;

        if (doubt)
            progress_say(&s->progress, "warning: loss \"%s\": %s", def->name, doubt);
    }
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

/* Identities; those of data are computed once, by rank 0. */
static bool hash_inputs(struct session *s, bool anew, struct error *err)
{
    if (!coll_agree(s->coll, s->rank != 0 || hash_data(s, anew, err), err))
        return false;
    coll_bcast(s->coll, s->data_sha256, sizeof(s->data_sha256), 0);
    if (s->job->teacher)
        weights_sha256(&s->teacher, s->teacher_sha256);
    hash_student_graph(s);
    return true;
}

static bool open_teacher(struct session *s, struct error *err)
{
    return !s->job->teacher ||
           weights_open(&s->teacher, "teacher.weights", s->job->teacher->weights,
                        job_model_def(s->models.teacher), dataset_size(s->train),
                        dataset_classes(s->train), err);
}

static bool load_student(struct session *s, struct error *err)
{
    struct replica *r = s->replica;
    struct weights w;
    bool ok = true;

    if (!s->job->student || !s->job->student->weights)
        return true;
    if (!weights_open(&w, "student.weights", s->job->student->weights, r->cfg.nets.student,
                      dataset_size(s->train), dataset_classes(s->train), err))
        return false;
    for (size_t i = 0; ok && i < r->flat.params.n; i++) {
        const struct flat_entry *e = &r->flat.params.at[i];

        ok = !nets_in_student(e->name) ||
             weights_tensor(&w, e->name, &e->shape, r->params + e->offset, err);
    }
    for (size_t i = 0; ok && i < r->flat.buffers.n; i++) {
        const struct flat_entry *e = &r->flat.buffers.at[i];

        ok = !nets_in_student(e->name) ||
             weights_tensor(&w, e->name, &e->shape, r->buffers + e->offset, err);
    }
    weights_close(&w);
    replica_refresh(r);
    return ok;
}

static bool open_replica(struct session *s, struct error *err)
{
    struct replica_config cfg;
    int64_t *lane_sizes = NULL;
    bool ok = session_configure(s->job, &s->models, trains(s) ? dataset_count(s->train) : 0,
                                dataset_classes(s->train), dataset_size(s->train), &cfg,
                                &lane_sizes, err);

    if (ok) {
        s->replica = replica_open(&cfg, weights_tensor, &s->teacher, err);
        if (!s->replica)
            ok = err_wrap(err, "%" PRId64 " training images in batches of %d on %d lanes",
                          dataset_count(s->train), s->job->train->batch, s->job->train->lanes);
    }
    free(lane_sizes);
    if (!ok)
        return false;
    if (s->job->student)
        replica_init(s->replica);
    return load_student(s, err);
}

static struct eval_set eval_set(const struct dataset *d)
{
    return (struct eval_set){
        .data = d, .teacher_norms = d ? NEW_ARRAY(double, (size_t)dataset_count(d)) : NULL};
}

/* Where this rank stands, and how long the run is. */
static bool set_course(struct session *s, struct error *err)
{
    const Distilld__TrainSpec *t = s->job->train;
    int64_t all;

    if (trains(s) && !job_ranks_fit(s->size, t->lanes, err))
        return err_wrap(err, "#/train/lanes");
    s->lanes = t->lanes;
    s->lane_lo = s->lanes / s->size * s->rank;
    s->lane_hi = s->lanes / s->size * (s->rank + 1);
    s->chunk = chunk_of(s->job);
    s->samples = dataset_count(s->train);
    s->steps_per_epoch = sampler_steps(s->samples, t->batch);
    all = s->steps_per_epoch * t->epochs;
    s->total_steps = t->has_max_steps && t->max_steps < all ? t->max_steps : all;
    s->val_set = eval_set(s->val);
    s->test_set = eval_set(s->test);
    return true;
}

static bool set_up(struct session *s, const struct session_request *r, struct error *err)
{
    *s = (struct session){.dir.lock_fd = -1};
    session_catch_signals();
    if (!watch_start(coll_launched_rank(), err))
        return false;
    s->coll = coll_open(err);
    if (!s->coll)
        return false;
    s->memory_at_start = footprint_now();
    s->rank = coll_rank(s->coll);
    s->size = coll_size(s->coll);
    if (!coll_agree(s->coll, fault_check(err), err))
        return false;
    s->job = make_job(shared_spec(s, r, err), r, err);
    if (!coll_agree(s->coll, s->job != NULL, err))
        return false;
    pulse_phase("load");
    if (!open_outputs(s, r, err) || !coll_agree(s->coll, open_data(s, err), err) ||
        !session_skip_corrupt(s, s->train, r->verify_data, err) ||
        (s->val && !session_skip_corrupt(s, s->val, r->verify_data, err)) ||
        !session_skip_corrupt(s, s->test, r->verify_data, err) ||
        !coll_agree(s->coll,
                    set_course(s, err) && job_models_open(&s->models, s->job, err) &&
                        open_teacher(s, err) && open_replica(s, err),
                    err))
        return false;
    if (s->rank == 0) {
        tell_skipped(s, s->train, "training");
        tell_skipped(s, s->val, "validation");
        tell_skipped(s, s->test, "test");
        tell_doubts(s);
    }
    if (!coll_agree(s->coll, s->rank != 0 || is_registered(s, err), err))
        return false;
    return hash_inputs(s, r->verify_data, err) &&
           (!s->job->teacher || session_directions(s, err)) &&
           coll_agree(s->coll, s->rank != 0 || rundir_claim(&s->dir, s->job, err), err);
}

bool session_open(struct session *s, const struct session_request *r, struct error *err)
{
    bool ok = set_up(s, r, err);

    /* Compiling leaves holes that nothing will fill again: they go back to the system. */
    malloc_trim(0);
    return ok;
}

void session_close(struct session *s, const char *state)
{
    uplink_close(s->uplink, state);
    replica_close(s->replica);
    weights_close(&s->teacher);
    job_models_close(&s->models);
    if (s->means.classes)
        means_free(&s->means);
    means_ema_free(&s->ema);
    free(s->classifier);
    dataset_close(s->train);
    dataset_close(s->val);
    dataset_close(s->test);
    rundir_close(&s->dir);
    free(s->val_set.teacher_norms);
    free(s->test_set.teacher_norms);
    job_free(s->job);
    coll_close(s->coll);
    watch_end();
    *s = (struct session){.dir.lock_fd = -1};
}
