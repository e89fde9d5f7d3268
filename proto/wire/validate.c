#include "proto/wire/validate.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/wire/pbjson.h"
#include "proto/wire/ref.h"

/* Limits of single numbers. "losses.*." stands for every loss. */
struct range {
    const char *path;
    double lo, hi;
    bool open_lo, open_hi; /* the limit itself is excluded */
};

#define MAX_COUNT 2147483647.0
#define ANY       1e30

static const struct range ranges[] = {
    {"schema_version", 1, 1, false, false},
    {"data.train_limit", 1, ANY, false, false},
    {"data.val_fraction", 0, 1, false, true},
    {"data.augment.pad_crop", 0, 16, false, false},
    {"data.augment.scale_min", 0, 1, true, false},
    {"data.augment.scale_max", 0, 1, true, false},
    {"data.augment.ratio_min", 0.01, 100, false, false},
    {"data.augment.ratio_max", 0.01, 100, false, false},
    {"data.image_size", 8, 1024, false, false},
    {"data.resize", 8, 4096, false, false},
    {"data.decode_threads", 1, 64, false, false},
    {"data.augment.mix.mixup_alpha", 0, 1000, false, false},
    {"data.augment.mix.cutmix_alpha", 0, 1000, false, false},
    {"data.augment.mix.prob", 0, 1, false, false},
    {"data.augment.mix.switch_prob", 0, 1, false, false},
    {"data.std.0", 0, ANY, true, false},
    {"data.std.1", 0, ANY, true, false},
    {"data.std.2", 0, ANY, true, false},
    {"teacher.std.0", 0, ANY, true, false},
    {"teacher.std.1", 0, ANY, true, false},
    {"teacher.std.2", 0, ANY, true, false},
    {"teacher.means.passes", 1, 100, false, false},
    {"teacher.calibration_images", 1, 1 << 20, false, false},
    {"teacher.ema_momentum", 0, 1, false, true},
    {"teacher.cache.views", 1, 1000, false, false},
    {"student.projector_dropout", 0, 1, false, true},
    {"losses.*.weight", 0, ANY, false, false},
    {"losses.*.temperature", 0, ANY, true, false},
    {"losses.*.ramp_epochs", 0, ANY, false, false},
    {"losses.*.label_smoothing", 0, 1, false, true},
    {"losses.*.alpha", 0, ANY, false, false},
    {"losses.*.beta", 0, ANY, false, false},
    {"losses.*.gamma", 0, ANY, false, false},
    {"losses.*.tau", 0, ANY, true, false},
    {"losses.*.norm_step", 0, ANY, true, false},
    {"losses.*.norm_target", 0, ANY, true, false},
    {"losses.*.mid_width", 1, 1 << 14, false, false},
    {"losses.*.layer", 0, 64, false, false},
    {"losses.*.start_epoch", 0, MAX_COUNT, false, false},
    {"losses.*.stop_epoch", 1, MAX_COUNT, false, false},
    {"optimizer.lr", 0, ANY, true, false},
    {"optimizer.momentum", 0, 1, false, true},
    {"optimizer.weight_decay", 0, ANY, false, false},
    {"optimizer.beta1", 0, 1, false, true},
    {"optimizer.beta2", 0, 1, false, true},
    {"optimizer.epsilon", 0, ANY, true, false},
    {"schedule.gamma", 0, ANY, false, false},
    {"schedule.warmup_epochs", 0, ANY, false, false},
    {"schedule.min_lr", 0, ANY, false, false},
    {"train.epochs", 1, 1000000, false, false},
    {"train.batch", 1, 1 << 20, false, false},
    {"train.max_steps", 1, ANY, false, false},
    {"train.lanes", 1, JOB_MAX_LANES, false, false},
    {"train.eval_every_epochs", 1, MAX_COUNT, false, false},
    {"train.log_every_steps", 1, ANY, false, false},
    {"resources.threads", 1, JOB_MAX_THREADS, false, false},
    {"checkpoint.every_steps", 1, ANY, false, false},
    {"checkpoint.every_epochs", 1, MAX_COUNT, false, false},
    {"checkpoint.keep", 1, 10000, false, false},
    {"min_runtime_s", 0, 1e9, false, false},
    {"time_limit_s", 0, 1e9, true, false},
    {"retry.max_attempts", 1, 1000, false, false},
    {"retry.max_lost_hosts", 1, 1000, false, false},
    {"retry.max_hangs", 1, 1000, false, false},
    {"retry.max_out_of_memory", 1, 1000, false, false},
    {"retry.max_preemptions", 1, 1000000, false, false},
    {"retry.reset_s", 0, 1e9, false, false},
    {"retry.backoff_s", 0, 24 * 3600, false, false},
    {"retry.backoff_max_s", 0, 24 * 3600, false, false},
    {"watchdog.stall_s", 0, 7 * 24 * 3600, true, false},
};

/* Where they are, in the job or in a loss: names are looked up once. */
static struct pbjson_path places[ARRAY_LEN(ranges)];
static bool of_each_loss[ARRAY_LEN(ranges)];
static pthread_once_t places_are_known = PTHREAD_ONCE_INIT;

/* The part behind "losses.*."; NULL for a path that begins elsewhere. */
static const char *of_losses(const char *path)
{
    static const char all[] = "losses.*.";

    return str_starts(path, all) ? path + strlen(all) : NULL;
}

static void find_places(void)
{
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        const char *rest = of_losses(ranges[i].path);

        of_each_loss[i] = rest;
        ASSERT(rest ? pbjson_find(&distilld__loss_spec__descriptor, rest, &places[i])
                    : pbjson_find(&distilld__job_spec__descriptor, ranges[i].path, &places[i]));
    }
}

/* #/data/std/0; free() */
static char *pointer_of(const struct range *r, size_t loss)
{
    const char *rest = of_losses(r->path);
    char *pointer = rest ? str_fmt("#/losses/%zu/%s", loss, rest) : str_fmt("#/%s", r->path);

    for (char *c = pointer; *c; c++)
        if (*c == '.')
            *c = '/';
    return pointer;
}

/* m: the job, or loss number `loss`. */
static void check_number(const ProtobufCMessage *m, size_t i, size_t loss, struct problems *p)
{
    const struct range *r = &ranges[i];
    double v;
    char *pointer;

    if (!pbjson_number(m, &places[i], &v) ||
        ((r->open_lo ? v > r->lo : v >= r->lo) && (r->open_hi ? v < r->hi : v <= r->hi)))
        return;
    pointer = pointer_of(r, loss);
    if (r->hi >= MAX_COUNT)
        problems_add(p, pointer, "must be %s %g, got %.10g",
                     r->open_lo ? "greater than" : "at least", r->lo, v);
    else
        problems_add(p, pointer, "must be %s %g and %s %g, got %.10g",
                     r->open_lo ? "greater than" : "at least", r->lo,
                     r->open_hi ? "less than" : "at most", r->hi, v);
    free(pointer);
}

static void check_ranges(const JobSpec *job, struct problems *p)
{
    pthread_once(&places_are_known, find_places);
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        if (!of_each_loss[i]) {
            check_number(&job->base, i, 0, p);
            continue;
        }
        for (size_t k = 0; k < job->n_losses; k++)
            check_number(&job->losses[k]->base, i, k, p);
    }
}

static void check_name(const struct catalog *known, enum catalog_section section, const char *what,
                       const char *pointer, const char *name, struct problems *p)
{
    struct error err;

    if (!name || !known || catalog_find(known, section, name))
        return;
    catalog_unknown(known, section, what, name, &err);
    problems_add(p, pointer, "%s", err.msg);
}

static void require(const void *member, const char *pointer, const char *why, struct problems *p)
{
    if (!member)
        problems_add(p, pointer, "is required%s", why);
}

/* Mean and deviation of the three channels. */
static void check_channels(const char *mean, size_t n_mean, const char *std, size_t n_std,
                           struct problems *p)
{
    if (n_mean != 0 && n_mean != 3)
        problems_add(p, mean, "expected 3 numbers, got %zu", n_mean);
    if (n_std != 0 && n_std != 3)
        problems_add(p, std, "expected 3 numbers, got %zu", n_std);
    if (!n_mean != !n_std)
        problems_add(p, n_mean ? std : mean, "mean and std are given together or not at all");
}

/* Images of any size are shown in one; others have theirs. */
static void check_view(const Distilld__DataSpec *data, const struct catalog_entry *source,
                       struct problems *p)
{
    const Distilld__AugmentSpec *a = data->augment;

    if (a->scale_max < a->scale_min)
        problems_add(p, "#/data/augment/scale_max", "must be at least scale_min (%g), got %g",
                     a->scale_min, a->scale_max);
    if (a->ratio_max < a->ratio_min)
        problems_add(p, "#/data/augment/ratio_max", "must be at least ratio_min (%g), got %g",
                     a->ratio_min, a->ratio_max);
    if (source && !catalog_takes(source, "image_size")) {
        if (data->image_size != 224)
            problems_add(p, "#/data/image_size", "images of %s have one size already",
                         source->name);
        if (data->has_resize)
            problems_add(p, "#/data/resize", "images of %s have one size already", source->name);
    } else if (data->has_resize && data->resize < data->image_size) {
        problems_add(p, "#/data/resize", "must be at least image_size (%d), got %d",
                     data->image_size, data->resize);
    }
}

static void check_data(const Distilld__DataSpec *data, const struct catalog *known,
                       struct problems *p)
{
    char scheme[32] = "";
    const char *rest;

    if (!data) {
        problems_add(p, "#/data", "is required");
        return;
    }
    require(data->source, "#/data/source", "", p);
    if (data->source) {
        if (!job_split_source(data->source, scheme, sizeof(scheme), &rest) || !*rest)
            problems_add(p, "#/data/source",
                         "expected KIND:DIR (for example cifar100:/data/cifar-100-binary), "
                         "got \"%s\"",
                         data->source);
        else
            check_name(known, CATALOG_DATA, "kind of data", "#/data/source", scheme, p);
    }
    if (data->n_classes > JOB_MAX_CLASSES)
        problems_add(p, "#/data/classes", "at most %d classes, got %zu", JOB_MAX_CLASSES,
                     data->n_classes);
    problems_check_set(p, "#/data/classes", "class", data->classes, data->n_classes);
    check_view(data,
               known && data->source && *scheme ? catalog_find(known, CATALOG_DATA, scheme) : NULL,
               p);
    if (data->augment->mix && data->augment->mix->mixup_alpha == 0 &&
        data->augment->mix->cutmix_alpha == 0)
        problems_add(p, "#/data/augment/mix", "needs a mixup_alpha or a cutmix_alpha above 0");
    check_channels("#/data/mean", data->n_mean, "#/data/std", data->n_std, p);
}

static bool is_onnx(const char *model)
{
    return model && strcmp(model, "onnx") == 0;
}

/* The graph of the model "onnx" is that of an .onnx file. */
static void check_graph(const char *pointer, const char *model, const char *file,
                        struct problems *p)
{
    if (is_onnx(model) && (!file || str_ends(file, ".safetensors") || str_ends(file, ".pth")))
        problems_add(p, pointer, "\"onnx\" is the graph of an .onnx file, got %s",
                     file ? file : "none");
}

static void check_features(const char *pointer, const char *model, const char *features,
                           struct problems *p)
{
    if (features && model && !is_onnx(model))
        problems_add(p, pointer, "only of the model \"onnx\" they can be named, not of \"%s\"",
                     model);
}

/* What weights of the registry are weights of, the daemon knows. */
static void require_model(const char *model, const char *weights, const char *pointer,
                          struct problems *p)
{
    if (!weights || !ref_is_model(weights))
        require(model, pointer, "", p);
}

static void check_teacher(const Distilld__TeacherSpec *t, const struct catalog *known,
                          struct problems *p)
{
    bool json = str_ends(t->class_means, ".json");

    require_model(t->model, t->weights, "#/teacher/model", p);
    require(t->weights, "#/teacher/weights", "", p);
    check_name(known, CATALOG_MODELS, "model", "#/teacher/model", t->model, p);
    check_graph("#/teacher/model", t->model, t->weights, p);
    check_features("#/teacher/features", t->model, t->features, p);
    check_channels("#/teacher/mean", t->n_mean, "#/teacher/std", t->n_std, p);
    if (json && !t->class_means_unverified)
        problems_add(p, "#/teacher/class_means",
                     "a JSON file does not say of which teacher and data its means are; set "
                     "class_means_unverified to true to take them all the same");
    if (!json && t->class_means_unverified)
        problems_add(p, "#/teacher/class_means_unverified",
                     "is for class means in JSON, got \"%s\"", t->class_means);
}

static void check_student(const Distilld__StudentSpec *s, const struct catalog *known,
                          struct problems *p)
{
    require_model(s->model, s->weights, "#/student/model", p);
    check_name(known, CATALOG_MODELS, "model", "#/student/model", s->model, p);
    check_graph("#/student/model", s->model, s->graph ? s->graph : s->weights, p);
    check_features("#/student/features", s->model, s->features, p);
    if (s->graph && s->model && !is_onnx(s->model))
        problems_add(p, "#/student/graph", "the model is \"%s\", not \"onnx\"", s->model);
}

/* Settings of class means that nothing would read. */
static void check_directions(const JobSpec *job, struct problems *p)
{
    const Distilld__TeacherSpec *t = job->teacher;
    bool means = t->directions == DISTILLD__TEACHER_SPEC__DIRECTIONS__CLASS_MEANS;

    if (!means && job->kind == DISTILLD__JOB_KIND__CLASS_MEANS)
        problems_add(p, "#/teacher/directions", "must be \"class_means\" in a job that makes them");
    if (!means && strcmp(t->class_means, "auto") != 0)
        problems_add(p, "#/teacher/class_means", "is read with directions \"class_means\" alone");
    if (t->means->passes > 1 && t->means->transform == DISTILLD__MEANS_SPEC__TRANSFORM__EVAL)
        problems_add(p, "#/teacher/means/passes",
                     "without augmentation (transform \"train\") all passes are alike, got %d",
                     t->means->passes);
}

/* Outputs are kept of an image, not of a mixture of two that hardly comes again. */
static void check_cache(const JobSpec *job, struct problems *p)
{
    const Distilld__CacheSpec *c = job->teacher->cache;

    if (!c)
        return;
    if (!c->has_views)
        problems_add(p, "#/teacher/cache/views",
                     "is required: how many augmented views of each image there are");
    if (job->kind != DISTILLD__JOB_KIND__DISTILL)
        problems_add(p, "#/teacher/cache",
                     "is for training with a teacher; a job of kind \"%s\" keeps nothing",
                     job_kind_name(job));
    if (job->data && job->data->augment->mix)
        problems_add(p, "#/teacher/cache",
                     "keeps what the teacher gives for an image, but data.augment.mix mixes each "
                     "with another one every time");
}

/* Which parts each kind of job has. */
static void check_parts(const JobSpec *job, const struct catalog *known, struct problems *p)
{
    static const struct {
        enum {
            NO,
            OPTIONAL,
            YES
        } teacher, student, student_weights, losses;
    } parts[] = {
        [DISTILLD__JOB_KIND__TRAIN] = {NO, YES, OPTIONAL, OPTIONAL},
        [DISTILLD__JOB_KIND__CLASS_MEANS] = {YES, NO, NO, NO},
        [DISTILLD__JOB_KIND__DISTILL] = {YES, YES, OPTIONAL, YES},
        [DISTILLD__JOB_KIND__EVAL] = {OPTIONAL, YES, YES, NO},
    };
    const char *kind = job_kind_name(job);
    char why[64];

    snprintf(why, sizeof(why), " in a job of kind \"%s\"", kind);
    if (parts[job->kind].teacher == YES)
        require(job->teacher, "#/teacher", why, p);
    if (parts[job->kind].teacher == NO && job->teacher)
        problems_add(p, "#/teacher", "a job of kind \"%s\" has no teacher", kind);
    if (parts[job->kind].student == YES)
        require(job->student, "#/student", why, p);
    if (parts[job->kind].student == NO && job->student)
        problems_add(p, "#/student", "a job of kind \"%s\" has no student", kind);
    if (parts[job->kind].losses == YES && !job->n_losses)
        problems_add(p, "#/losses", "at least one loss is required%s", why);
    if (parts[job->kind].losses == NO && job->n_losses)
        problems_add(p, "#/losses", "a job of kind \"%s\" has no losses", kind);
    if (job->teacher) {
        check_teacher(job->teacher, known, p);
        check_directions(job, p);
        check_cache(job, p);
    }
    if (job->student)
        check_student(job->student, known, p);
    if (job->student && parts[job->kind].student_weights == YES)
        require(job->student->weights, "#/student/weights", why, p);
}

/* A loss reads some of the fields of LossSpec; one that it does not read, but has another value than the
 * default, was set by mistake. */
static void check_loss_fields(const LossSpec *loss, size_t i, const struct catalog_entry *e,
                              struct problems *p)
{
    static const struct catalog_entry all = {.params =
                                                 "kind,weight,ramp_epochs,start_epoch,stop_epoch"};
    LossSpec fresh = DISTILLD__LOSS_SPEC__INIT;
    struct json *set = pbjson_write(&loss->base), *usual;

    pbjson_fill_defaults(&fresh.base);
    usual = pbjson_write(&fresh.base);
    for (void *it = js_first(set); it; it = js_next(set, it)) {
        const char *field = js_key(it);
        const struct json *fallback = js_get(usual, field), *v = js_value(it);
        char *pointer;

        if (catalog_takes(&all, field) || catalog_takes(e, field) ||
            (fallback && js_real(v, 0) == js_real(fallback, 0) &&
             strcmp(js_string(v, ""), js_string(fallback, "")) == 0))
            continue;
        pointer = str_fmt("#/losses/%zu/%s", i, field);
        problems_add(p, pointer, "loss \"%s\" has no %s", loss->kind, field);
        free(pointer);
    }
    js_free(set);
    js_free(usual);
}

static void check_loss(const JobSpec *job, size_t i, const struct catalog *known,
                       struct problems *p)
{
    const LossSpec *loss = job->losses[i];
    char pointer[64];
    const struct catalog_entry *e;

    snprintf(pointer, sizeof(pointer), "#/losses/%zu/kind", i);
    require(loss->kind, pointer, "", p);
    check_name(known, CATALOG_LOSSES, "loss", pointer, loss->kind, p);
    for (size_t k = 0; loss->kind && k < i; k++)
        if (job->losses[k]->kind && strcmp(job->losses[k]->kind, loss->kind) == 0)
            problems_add(p, pointer, "loss \"%s\" stands there twice", loss->kind);
    e = known && loss->kind ? catalog_find(known, CATALOG_LOSSES, loss->kind) : NULL;
    if (!e)
        return;
    if (e->needs_teacher && job->kind == DISTILLD__JOB_KIND__TRAIN)
        problems_add(p, pointer, "loss \"%s\" needs a teacher; a job of kind \"train\" has none",
                     loss->kind);
    check_loss_fields(loss, i, e, p);
    if (loss->has_stop_epoch && loss->stop_epoch <= loss->start_epoch) {
        snprintf(pointer, sizeof(pointer), "#/losses/%zu/stop_epoch", i);
        problems_add(p, pointer, "must be after start_epoch, which is %d; got %d",
                     loss->start_epoch, loss->stop_epoch);
    }
}

/* Fields that differ from their defaults in a job whose optimiser or schedule does not read them. */
static void check_unread(const struct catalog *known, enum catalog_section section,
                         const char *what, const char *kind, const char *const *changed,
                         struct problems *p)
{
    const struct catalog_entry *e = known && kind ? catalog_find(known, section, kind) : NULL;

    for (; e && *changed; changed++)
        if (**changed && !catalog_takes(e, *changed)) {
            char *pointer = str_fmt("#/%s/%s", what, *changed);

            problems_add(p, pointer, "%s \"%s\" has no %s", what, kind, *changed);
            free(pointer);
        }
}

static void check_course(const JobSpec *job, const struct catalog *known, struct problems *p)
{
    static const Distilld__OptimizerSpec no_optimizer = DISTILLD__OPTIMIZER_SPEC__INIT;
    static const Distilld__ScheduleSpec no_schedule = DISTILLD__SCHEDULE_SPEC__INIT;
    const Distilld__OptimizerSpec *o = job->optimizer;
    const Distilld__ScheduleSpec *s = job->schedule;
    const char *const optimizer[] = {o->momentum != no_optimizer.momentum ? "momentum" : "",
                                     o->nesterov != no_optimizer.nesterov ? "nesterov" : "",
                                     o->beta1 != no_optimizer.beta1 ? "beta1" : "",
                                     o->beta2 != no_optimizer.beta2 ? "beta2" : "",
                                     o->epsilon != no_optimizer.epsilon ? "epsilon" : "",
                                     NULL};
    const char *const schedule[] = {s->gamma != no_schedule.gamma ? "gamma" : "",
                                    s->min_lr != no_schedule.min_lr ? "min_lr" : "", NULL};

    check_name(known, CATALOG_OPTIMIZERS, "optimizer", "#/optimizer/kind", o->kind, p);
    check_name(known, CATALOG_SCHEDULES, "schedule", "#/schedule/kind", s->kind, p);
    check_unread(known, CATALOG_OPTIMIZERS, "optimizer", o->kind, optimizer, p);
    check_unread(known, CATALOG_SCHEDULES, "schedule", s->kind, schedule, p);
    if (o->lr > 0 && s->min_lr > o->lr)
        problems_add(p, "#/schedule/min_lr", "must be at most optimizer.lr, %g, got %g", o->lr,
                     s->min_lr);
}

bool job_ranks_fit(int64_t ranks, int64_t lanes, struct error *err)
{
    if (lanes < 1 || (lanes & (lanes - 1)))
        return err_set(err, ERR_INVALID, "lanes must be a power of two, got %" PRId64, lanes);
    if (ranks >= 1 && ranks <= lanes && !(ranks & (ranks - 1)))
        return true;
    return err_set(err, ERR_INVALID,
                   "ranks must be a power of two and at most the lanes: %" PRId64
                   " ranks do not fit %" PRId64 " lanes",
                   ranks, lanes);
}

bool job_ranks_allowed(int64_t ranks, int64_t min, int64_t max, struct error *err)
{
    return (ranks >= min && ranks <= max) ||
           err_set(err, ERR_INVALID,
                   "the job asks for %" PRId64 " to %" PRId64 " ranks; %" PRId64 " %s outside", min,
                   max, ranks, ranks == 1 ? "is" : "are");
}

/* Class means and evaluation are dealt to any number of ranks. */
static bool trains(const JobSpec *job)
{
    return job->has_kind &&
           (job->kind == DISTILLD__JOB_KIND__TRAIN || job->kind == DISTILLD__JOB_KIND__DISTILL);
}

static bool is_lanes(int64_t lanes)
{
    return lanes >= 1 && !(lanes & (lanes - 1));
}

/* What a number, or one end of a range, must be. False: it has a problem. */
static bool check_ranks_end(const JobSpec *job, const char *pointer, int64_t ranks,
                            struct problems *p)
{
    const size_t before = p->list.n;
    struct error err;

    if (ranks < 1 || ranks > JOB_MAX_LANES)
        problems_add(p, pointer, "must be at least 1 and at most %d, got %" PRId64, JOB_MAX_LANES,
                     ranks);
    else if (trains(job) && is_lanes(job->train->lanes) &&
             !job_ranks_fit(ranks, job->train->lanes, &err))
        problems_add(p, pointer, "%s", err.msg);
    return p->list.n == before;
}

static void check_ranks(const JobSpec *job, struct problems *p)
{
    static const char at[] = "#/resources/ranks", first[] = "#/resources/ranks/min";
    const Distilld__Range *r = job->resources->ranks;

    require(r->has_min ? "" : NULL, first, "", p);
    require(r->has_max ? "" : NULL, "#/resources/ranks/max", "", p);
    if (!r->has_min || !r->has_max)
        return;
    if (r->min == r->max) /* a number, for all that is known */
        check_ranks_end(job, at, r->min, p);
    else if (!trains(job))
        problems_add(p, at, "expected a number for a job that does not train, got a range");
    else if (check_ranks_end(job, first, r->min, p) &
                 check_ranks_end(job, "#/resources/ranks/max", r->max, p) &&
             r->min > r->max)
        problems_add(p, first, "must be at most max, %d, got %d", r->max, r->min);
}

static void check_train(const JobSpec *job, struct problems *p)
{
    const Distilld__ScheduleSpec *s = job->schedule;

    if (!is_lanes(job->train->lanes))
        problems_add(p, "#/train/lanes", "must be a power of two, got %d", job->train->lanes);
    check_ranks(job, p);
    if (job->optimizer->nesterov && job->optimizer->momentum == 0)
        problems_add(p, "#/optimizer/nesterov", "Nesterov's form needs a momentum above 0");
    if (s->n_milestones > JOB_MAX_MILESTONES)
        problems_add(p, "#/schedule/milestones", "at most %d epochs, got %zu", JOB_MAX_MILESTONES,
                     s->n_milestones);
    for (size_t i = 0; i < s->n_milestones; i++)
        if (s->milestones[i] < 0 || (i && s->milestones[i] < s->milestones[i - 1])) {
            problems_add(p, "#/schedule/milestones", "must be epochs in ascending order");
            break;
        }
}

bool job_name_fits(const char *name, struct error *err)
{
    return (name[0] && strlen(name) <= JOB_MAX_NAME) ||
           err_set(err, ERR_INVALID, "must have 1 to %d bytes, got %zu", JOB_MAX_NAME,
                   strlen(name));
}

static bool is_label_key(const char *key)
{
    static const char ends[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    const size_t n = strlen(key);

    return n >= 1 && n <= JOB_MAX_LABEL_KEY && strchr(ends, key[0]) && strchr(ends, key[n - 1]) &&
           strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/") == n;
}

static bool has_control(const char *text)
{
    while (*text && (unsigned char)*text >= ' ' && *text != 0x7f)
        text++;
    return *text;
}

bool job_label_fits(const char *key, const char *value, struct error *err)
{
    if (!is_label_key(key))
        return err_set(err, ERR_INVALID,
                       "expected a key of 1 to %d letters, digits, '-', '.', '_' and '/', with a "
                       "letter or digit first and last, got \"%.80s\"",
                       JOB_MAX_LABEL_KEY, key);
    if (strlen(value) > JOB_MAX_LABEL_VALUE)
        return err_set(err, ERR_INVALID, "%s: expected at most %d bytes, got %zu", key,
                       JOB_MAX_LABEL_VALUE, strlen(value));
    return !has_control(value) ||
           err_set(err, ERR_INVALID, "%s: expected no control characters", key);
}

void job_check_labels(const JobSpec *job, struct problems *p)
{
    struct error err;

    for (size_t i = 0; i < job->n_labels && i < JOB_MAX_LABELS; i++)
        if (!job_label_fits(job->labels[i]->key, job->labels[i]->value, &err))
            problems_add(p, "#/labels", "%s", err.msg);
}

static void check_identity(const JobSpec *job, struct problems *p)
{
    struct error err;

    if (!ref_check_name(job->project, &err))
        problems_add(p, "#/project", "%s", err.msg);
    if (job->name && !job_name_fits(job->name, &err))
        problems_add(p, "#/name", "%s", err.msg);
    if (job->n_labels > JOB_MAX_LABELS)
        problems_add(p, "#/labels", "at most %d labels, got %zu", JOB_MAX_LABELS, job->n_labels);
}

static void check_needs(const JobSpec *job, struct problems *p)
{
    char pointer[64];

    if (job->n_depends_on > JOB_MAX_NEEDS)
        problems_add(p, "#/depends_on", "at most %d jobs, got %zu", JOB_MAX_NEEDS,
                     job->n_depends_on);
    for (size_t i = 0; i < job->n_depends_on && i < JOB_MAX_NEEDS; i++) {
        const char *id = job->depends_on[i]->job;

        snprintf(pointer, sizeof(pointer), "#/depends_on/%zu/job", i);
        require(id, pointer, "", p);
        for (size_t k = 0; id && k < i; k++)
            if (job->depends_on[k]->job && strcmp(job->depends_on[k]->job, id) == 0)
                problems_add(p, pointer, "job \"%.60s\" stands there twice", id);
    }
}

static bool lies_under(const char *pointer, const char *above)
{
    size_t n = strlen(above);

    return strncmp(pointer, above, n) == 0 && (!pointer[n] || pointer[n] == '/');
}

/* A field that could not be read has been told of; that it is missing now is no news. */
static void drop_repeated(struct problems *p, size_t known)
{
    size_t kept = known;

    for (size_t i = known; i < p->list.n; i++) {
        struct problem *one = &p->list.at[i];
        bool told = false;

        for (size_t k = 0; k < known; k++)
            told |= lies_under(one->pointer, p->list.at[k].pointer);
        if (told) {
            free(one->pointer);
            free(one->detail);
        } else {
            p->list.at[kept++] = *one;
        }
    }
    p->list.n = kept;
}

void job_validate(const JobSpec *job, const struct catalog *known, struct problems *p)
{
    size_t told = p->list.n;

    if (job->sweep)
        problems_add(p, "#/sweep",
                     "is for distilld, which makes many jobs of it: this is to be one");
    check_identity(job, p);
    check_needs(job, p);
    check_ranges(job, p);
    check_data(job->data, known, p);
    if (job->has_kind) {
        check_parts(job, known, p);
        if (job->n_losses > JOB_MAX_LOSSES)
            problems_add(p, "#/losses", "at most %d losses, got %zu", JOB_MAX_LOSSES,
                         job->n_losses);
        for (size_t i = 0; i < job->n_losses && i < JOB_MAX_LOSSES; i++)
            check_loss(job, i, known, p);
    } else {
        problems_add(p, "#/kind", "is required: train, class_means, distill or eval");
    }
    check_course(job, known, p);
    check_train(job, p);
    drop_repeated(p, told);
}
