#include "proto/wire/validate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/wire/ref.h"

/* Limits of single numbers. "losses.*." stands for every loss. */
struct range {
    const char *path;
    double lo, hi;
    bool open_lo, open_hi; /* the limit itself is excluded */
};

static const double max_count = 2147483647;
static const double any = 1e30;

static bool check_number(const struct json *spec, const char *path, const struct range *r,
                         struct problems *p)
{
    const struct json *j = js_path(spec, path);
    double v = js_real(j, 0);
    char *pointer;

    if (!j || ((r->open_lo ? v > r->lo : v >= r->lo) && (r->open_hi ? v < r->hi : v <= r->hi)))
        return true;
    pointer = str_fmt("#/%s", path);
    for (char *c = pointer; *c; c++)
        if (*c == '.')
            *c = '/';
    if (r->hi >= max_count)
        problems_add(p, pointer, "must be %s %g, got %.10g",
                     r->open_lo ? "greater than" : "at least", r->lo, v);
    else
        problems_add(p, pointer, "must be %s %g and %s %g, got %.10g",
                     r->open_lo ? "greater than" : "at least", r->lo,
                     r->open_hi ? "less than" : "at most", r->hi, v);
    free(pointer);
    return false;
}

static void check_ranges(const JobSpec *job, struct problems *p)
{
    static const struct range ranges[] = {
        {"schema_version", 1, 1, false, false},
        {"data.train_limit", 1, any, false, false},
        {"data.augment.pad_crop", 0, 16, false, false},
        {"data.std.0", 0, any, true, false},
        {"data.std.1", 0, any, true, false},
        {"data.std.2", 0, any, true, false},
        {"student.projector_dropout", 0, 1, false, true},
        {"losses.*.weight", 0, any, false, false},
        {"losses.*.temperature", 0, any, true, false},
        {"losses.*.ramp_epochs", 0, any, false, false},
        {"optimizer.lr", 0, any, true, false},
        {"optimizer.momentum", 0, 1, false, true},
        {"optimizer.weight_decay", 0, any, false, false},
        {"schedule.gamma", 0, any, false, false},
        {"schedule.warmup_epochs", 0, any, false, false},
        {"train.epochs", 1, 1000000, false, false},
        {"train.batch", 1, 1 << 20, false, false},
        {"train.max_steps", 1, any, false, false},
        {"train.lanes", 1, JOB_MAX_LANES, false, false},
        {"train.eval_every_epochs", 1, max_count, false, false},
        {"train.log_every_steps", 1, any, false, false},
        {"resources.ranks", 1, JOB_MAX_LANES, false, false},
        {"resources.threads", 1, JOB_MAX_THREADS, false, false},
        {"checkpoint.every_steps", 1, any, false, false},
        {"checkpoint.every_epochs", 1, max_count, false, false},
        {"checkpoint.keep", 1, 10000, false, false},
        {"retry.max_attempts", 1, 1000, false, false},
        {"watchdog.stall_s", 0, 7 * 24 * 3600, true, false},
    };
    struct json *spec = job_to_json(job);

    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        if (!str_starts(ranges[i].path, "losses.*.")) {
            check_number(spec, ranges[i].path, &ranges[i], p);
            continue;
        }
        for (size_t k = 0; k < job->n_losses; k++) {
            char *path = str_fmt("losses.%zu.%s", k, ranges[i].path + strlen("losses.*."));

            check_number(spec, path, &ranges[i], p);
            free(path);
        }
    }
    js_free(spec);
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

static void check_data(const Distilld__DataSpec *data, const struct catalog *known,
                       struct problems *p)
{
    char scheme[32];
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
    for (size_t i = 0; i < data->n_classes; i++)
        for (size_t k = 0; k <= i; k++)
            if (data->classes[i] < 0 || (k < i && data->classes[i] == data->classes[k])) {
                problems_add(p, "#/data/classes", "class %d %s", data->classes[i],
                             data->classes[i] < 0 ? "is negative" : "stands there twice");
                return;
            }
    if (data->n_mean != 0 && data->n_mean != 3)
        problems_add(p, "#/data/mean", "expected 3 numbers, got %zu", data->n_mean);
    if (data->n_std != 0 && data->n_std != 3)
        problems_add(p, "#/data/std", "expected 3 numbers, got %zu", data->n_std);
    if (!data->n_mean != !data->n_std)
        problems_add(p, data->n_mean ? "#/data/std" : "#/data/mean",
                     "mean and std are given together or not at all");
}

/* Of registered weights the daemon fills the model in; before that nobody knows it. */
static void require_model(const char *model, const char *weights, const char *pointer,
                          const struct catalog *known, struct problems *p)
{
    if (known || !weights || !ref_is_model(weights))
        require(model, pointer, "", p);
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
        require_model(job->teacher->model, job->teacher->weights, "#/teacher/model", known, p);
        require(job->teacher->weights, "#/teacher/weights", "", p);
        check_name(known, CATALOG_MODELS, "model", "#/teacher/model", job->teacher->model, p);
    }
    if (job->student) {
        require_model(job->student->model, job->student->weights, "#/student/model", known, p);
        check_name(known, CATALOG_MODELS, "model", "#/student/model", job->student->model, p);
        if (parts[job->kind].student_weights == YES)
            require(job->student->weights, "#/student/weights", why, p);
    }
}

/* A loss reads some of the fields of LossSpec; one it does not read was set by mistake. */
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
    if (loss->temperature != 4 && !catalog_takes(e, "temperature")) {
        snprintf(pointer, sizeof(pointer), "#/losses/%zu/temperature", i);
        problems_add(p, pointer, "loss \"%s\" has no temperature", loss->kind);
    }
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

/* Class means and evaluation are dealt to any number of ranks. */
static bool trains(const JobSpec *job)
{
    return job->has_kind &&
           (job->kind == DISTILLD__JOB_KIND__TRAIN || job->kind == DISTILLD__JOB_KIND__DISTILL);
}

static void check_train(const JobSpec *job, struct problems *p)
{
    const Distilld__ScheduleSpec *s = job->schedule;
    struct error err;

    if (job->train->lanes < 1 || (job->train->lanes & (job->train->lanes - 1)))
        problems_add(p, "#/train/lanes", "must be a power of two, got %d", job->train->lanes);
    else if (trains(job) && !job_ranks_fit(job->resources->ranks, job->train->lanes, &err))
        problems_add(p, "#/resources/ranks", "%s", err.msg);
    if (job->optimizer->nesterov && job->optimizer->momentum == 0)
        problems_add(p, "#/optimizer/nesterov", "Nesterov's form needs a momentum above 0");
    for (size_t i = 0; i < s->n_milestones; i++)
        if (s->milestones[i] < 0 || (i && s->milestones[i] < s->milestones[i - 1])) {
            problems_add(p, "#/schedule/milestones", "must be epochs in ascending order");
            break;
        }
}

static void check_identity(const JobSpec *job, struct problems *p)
{
    if (job->name && (!job->name[0] || strlen(job->name) > 128))
        problems_add(p, "#/name", "must have 1 to 128 bytes, got %zu", strlen(job->name));
    if (job->n_labels > 64)
        problems_add(p, "#/labels", "at most 64 labels, got %zu", job->n_labels);
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

    check_identity(job, p);
    check_ranges(job, p);
    check_data(job->data, known, p);
    if (job->has_kind) {
        check_parts(job, known, p);
        for (size_t i = 0; i < job->n_losses; i++)
            check_loss(job, i, known, p);
    } else {
        problems_add(p, "#/kind", "is required: train, class_means, distill or eval");
    }
    check_name(known, CATALOG_OPTIMIZERS, "optimizer", "#/optimizer/kind", job->optimizer->kind, p);
    check_name(known, CATALOG_SCHEDULES, "schedule", "#/schedule/kind", job->schedule->kind, p);
    check_train(job, p);
    drop_repeated(p, told);
}
