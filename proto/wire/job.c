#include "proto/wire/job.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/wire/pbjson.h"
#include "proto/wire/ref.h"

/* A sub-message that was left out reads as its defaults. */
static void *or_default(void *message, const ProtobufCMessageDescriptor *d)
{
    if (message)
        return message;
    message = mem_calloc(1, d->sizeof_message);
    protobuf_c_message_init(d, message);
    return message;
}

/* The step decay of the CIFAR recipe (150, 180 and 210 of 240 epochs) for any number of epochs. */
static void default_milestones(JobSpec *job)
{
    Distilld__ScheduleSpec *s = job->schedule;
    static const int eighths[] = {5, 6, 7};

    if (s->n_milestones || strcmp(s->kind, "multistep") != 0)
        return;
    s->n_milestones = ARRAY_LEN(eighths);
    s->milestones = NEW_ARRAY(int32_t, s->n_milestones);
    for (size_t i = 0; i < ARRAY_LEN(eighths); i++)
        s->milestones[i] = (int32_t)((int64_t)job->train->epochs * eighths[i] / 8);
}

/* A file with a graph says by itself what model it is. */
static void default_model(char **model, const char *graph)
{
    if (!*model && graph && str_ends(graph, ".onnx"))
        *model = str_dup("onnx");
}

/* One rank, unless it says otherwise. */
static void default_ranks(Distilld__ResourcesSpec *r)
{
    if (r->ranks)
        return;
    r->ranks = or_default(NULL, &distilld__range__descriptor);
    r->ranks->has_min = r->ranks->has_max = 1;
    r->ranks->min = r->ranks->max = 1;
}

static void normalize(JobSpec *job)
{
    if (job->data)
        job->data->augment = or_default(job->data->augment, &distilld__augment_spec__descriptor);
    if (job->teacher)
        job->teacher->means = or_default(job->teacher->means, &distilld__means_spec__descriptor);
    job->optimizer = or_default(job->optimizer, &distilld__optimizer_spec__descriptor);
    job->schedule = or_default(job->schedule, &distilld__schedule_spec__descriptor);
    job->train = or_default(job->train, &distilld__train_spec__descriptor);
    job->resources = or_default(job->resources, &distilld__resources_spec__descriptor);
    default_ranks(job->resources);
    job->checkpoint = or_default(job->checkpoint, &distilld__checkpoint_spec__descriptor);
    job->retry = or_default(job->retry, &distilld__retry_spec__descriptor);
    job->watchdog = or_default(job->watchdog, &distilld__watchdog_spec__descriptor);
    if (job->teacher)
        default_model(&job->teacher->model, job->teacher->weights);
    if (job->student)
        default_model(&job->student->model,
                      job->student->graph ? job->student->graph : job->student->weights);
    if (!job->name)
        job->name = str_dup(job_kind_name(job));
    pbjson_fill_defaults(&job->base);
    default_milestones(job);
}

JobSpec *job_from_json(const struct json *j, struct problems *p)
{
    JobSpec *job = (JobSpec *)pbjson_read(&distilld__job_spec__descriptor, j, p);

    if (job)
        normalize(job);
    return job;
}

void job_free(JobSpec *job)
{
    if (job)
        distilld__job_spec__free_unpacked(job, NULL);
}

struct json *job_to_json(const JobSpec *job)
{
    return pbjson_write(&job->base);
}

char *job_to_text(const JobSpec *job)
{
    return pbjson_text(&job->base);
}

const char *job_kind_name(const JobSpec *job)
{
    static const char *const names[] = {"train", "class_means", "distill", "eval"};

    return names[job->kind];
}

double job_loss_number(const LossSpec *loss, const char *field)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(&distilld__loss_spec__descriptor, field);
    const void *at;

    ASSERT(f && f->label == PROTOBUF_C_LABEL_OPTIONAL);
    at = (const char *)loss + f->offset;
    if (f->type == PROTOBUF_C_TYPE_DOUBLE)
        return *(const double *)at;
    ASSERT(f->type == PROTOBUF_C_TYPE_ENUM || f->type == PROTOBUF_C_TYPE_INT32);
    return *(const int32_t *)at;
}

bool job_split_source(const char *source, char *scheme, size_t size, const char **rest)
{
    const char *colon = strchr(source, ':');

    if (!colon || (size_t)(colon - source) >= size)
        return false;
    memcpy(scheme, source, (size_t)(colon - source));
    scheme[colon - source] = '\0';
    *rest = colon + 1;
    return true;
}

/* VALUE of an assignment. */
static struct json *parse_value(const char *text)
{
    struct json *j = js_parse(text, strlen(text), NULL);

    return j ? j : js_new_string(text);
}

/* The member `key` of an object, made if it is missing, or the element of that number; NULL for neither. */
static struct json *step_into(struct json *at, const char *key)
{
    struct json *next = js_kind(at) == JS_OBJECT ? js_get(at, key) : NULL;
    int64_t i;

    if (js_kind(at) == JS_ARRAY && str_int(key, 0, (int64_t)js_len(at) - 1, &i))
        return js_at(at, (size_t)i);
    if (js_kind(at) != JS_OBJECT || !*key || js_kind(next) != JS_NULL)
        return next;
    next = js_new_object();
    js_set(at, key, next);
    return next;
}

bool job_put(struct json *spec, const char *path, struct json *take_value, struct error *err)
{
    struct json *at = spec;
    const char *p = path;
    int depth = 0;

    for (size_t n; at && p[n = strcspn(p, ".")]; p += n + 1) {
        char *key = str_ndup(p, n);

        at = ++depth < JS_MAX_DEPTH ? step_into(at, key) : NULL;
        free(key);
        if (!at)
            err_set(err, ERR_INVALID, "\"%.*s\" is no member of an object here",
                    (int)(p + n - path), path);
    }
    if (at && (js_kind(at) != JS_OBJECT || !*p)) {
        err_set(err, ERR_INVALID, "\"%s\" is no member of an object here", path);
        at = NULL;
    }
    if (at)
        js_set(at, p, take_value);
    else
        js_free(take_value);
    return at;
}

bool job_set(struct json *spec, const char *assignment, struct error *err)
{
    const char *eq = strchr(assignment, '=');
    char *path;
    bool ok;

    if (!eq || eq == assignment)
        return err_set(err, ERR_INVALID, "--set %s: expected a.b=VALUE", assignment);
    path = str_ndup(assignment, (size_t)(eq - assignment));
    ok = job_put(spec, path, parse_value(eq + 1), err) || err_wrap(err, "--set %s", assignment);
    free(path);
    return ok;
}

static void visit_member(struct json *object, const char *key, const char *pointer,
                         const char *keyword, job_path_fn visit, void *arg)
{
    const char *path = js_string(js_get(object, key), NULL);
    char *changed;

    if (!path || (keyword && strcmp(path, keyword) == 0) ||
        (strcmp(key, "weights") == 0 && ref_is_model(path)))
        return;
    changed = visit(pointer, path, arg);
    if (changed)
        js_set(object, key, js_new_string(changed));
    free(changed);
}

static void visit_source(struct json *data, job_path_fn visit, void *arg)
{
    const char *source = js_string(js_get(data, "source"), NULL), *rest;
    char scheme[32], *changed;

    /* Sources with options (key=value) name no folder; what a daemon knows by name neither. */
    if (!source || !job_split_source(source, scheme, sizeof(scheme), &rest) ||
        strcmp(scheme, "procedural") == 0 || ref_is_dataset(source))
        return;
    changed = visit("#/data/source", rest, arg);
    if (changed) {
        char *whole = str_fmt("%s:%s", scheme, changed);

        js_set(data, "source", js_new_string(whole));
        free(whole);
    }
    free(changed);
}

static void visit_spec(struct json *spec, job_path_fn visit, void *arg)
{
    struct json *teacher = js_get(spec, "teacher"), *student = js_get(spec, "student");

    visit_source(js_get(spec, "data"), visit, arg);
    visit_member(teacher, "weights", "#/teacher/weights", NULL, visit, arg);
    visit_member(teacher, "class_means", "#/teacher/class_means", "auto", visit, arg);
    visit_member(student, "weights", "#/student/weights", NULL, visit, arg);
    visit_member(student, "graph", "#/student/graph", NULL, visit, arg);
}

/* Whether a value for a field holds a path shows in a spec that has nothing else. */
static struct json *visit_value(const char *field, const struct json *value, job_path_fn visit,
                                void *arg)
{
    struct json *spec = js_new_object(), *changed;

    if (job_put(spec, field, js_copy(value), NULL))
        visit_spec(spec, visit, arg);
    changed = js_copy(js_path(spec, field));
    js_free(spec);
    return changed ? changed : js_copy(value);
}

static void visit_grid(const struct json *grid, job_path_fn visit, void *arg)
{
    for (size_t i = 0; i < js_len(grid); i++) {
        const struct json *values = js_get(js_at(grid, i), "values");
        const char *field = js_string(js_get(js_at(grid, i), "field"), "");
        struct json *changed = js_new_array();

        for (size_t k = 0; js_kind(values) == JS_ARRAY && k < js_len(values); k++)
            js_push(changed, visit_value(field, js_at(values, k), visit, arg));
        if (js_kind(values) == JS_ARRAY)
            js_set(js_at(grid, i), "values", changed);
        else
            js_free(changed);
    }
}

void job_visit_paths(struct json *spec, job_path_fn visit, void *arg)
{
    const struct json *grid = js_path(spec, "sweep.grid");

    visit_spec(spec, visit, arg);
    if (js_kind(grid) == JS_ARRAY)
        visit_grid(grid, visit, arg);
}

static void set_text(struct json *object, const char *key, const char *text)
{
    if (text)
        js_set(object, key, js_new_string(text));
}

/* As job_visit_paths does it, in a spec that has nothing else. */
void job_each_path(const JobSpec *spec, job_path_fn visit, void *arg)
{
    struct json *few = js_new_object(), *data = js_new_object(), *teacher = js_new_object();
    struct json *student = js_new_object();

    if (spec->data)
        set_text(data, "source", spec->data->source);
    if (spec->teacher) {
        set_text(teacher, "weights", spec->teacher->weights);
        set_text(teacher, "class_means", spec->teacher->class_means);
    }
    if (spec->student) {
        set_text(student, "weights", spec->student->weights);
        set_text(student, "graph", spec->student->graph);
    }
    js_set(few, "data", data);
    js_set(few, "teacher", teacher);
    js_set(few, "student", student);
    visit_spec(few, visit, arg);
    js_free(few);
}

static char *make_absolute(const char *pointer, const char *path, void *base)
{
    (void)pointer;
    return path[0] == '/' ? NULL : str_path(base, path);
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *cwd, *dir;

    if (slash && path[0] == '/')
        return str_ndup(path, slash == path ? 1 : (size_t)(slash - path));
    cwd = getcwd(NULL, 0);
    if (!slash || !cwd)
        return cwd ? cwd : str_dup("/");
    dir = str_fmt("%s/%.*s", cwd, (int)(slash - path), path);
    free(cwd);
    return dir;
}

bool job_prepare(struct json *spec, const char *path, const char *base, const char *const *sets,
                 size_t n_sets, struct error *err)
{
    char *dir;

    if (js_kind(spec) != JS_OBJECT)
        return err_set(err, ERR_INVALID, "%s: expected an object, got %s", path,
                       js_kind_name(js_kind(spec)));
    for (size_t i = 0; i < n_sets; i++)
        if (!job_set(spec, sets[i], err))
            return false;
    dir = base ? str_dup(base) : folder_of(strcmp(path, "-") == 0 ? "." : path);
    job_visit_paths(spec, make_absolute, dir);
    free(dir);
    return true;
}

const char *job_file(const char *path)
{
    return strcmp(path, "-") == 0 ? "/dev/stdin" : path;
}

struct json *job_load(const char *path, const char *base, const char *const *sets, size_t n_sets,
                      struct error *err)
{
    struct json *spec = js_read_file(job_file(path), JOB_MAX_BYTES, err);

    if (!spec) {
        err_named_file(err);
        if (str_ends(path, ".yaml") || str_ends(path, ".yml"))
            err_wrap(err, "jobs are JSON here; distillctl takes YAML too");
    } else if (!job_prepare(spec, path, base, sets, n_sets, err)) {
        js_free(spec);
        spec = NULL;
    }
    return spec;
}

static char *forget_path(const char *pointer, const char *path, void *arg)
{
    (void)pointer;
    (void)path;
    (void)arg;
    return str_dup("");
}

struct json *job_result_form(const JobSpec *job)
{
    static const char *const without[] = {"name",    "labels",   "priority",    "checkpoint",
                                          "retry",   "watchdog", "hold",        "depends_on",
                                          "project", "preempt",  "preemptible", "min_runtime_s"};
    struct json *j = job_to_json(job);

    for (size_t i = 0; i < ARRAY_LEN(without); i++)
        js_delete(j, without[i]);
    js_delete(js_get(j, "resources"), "ranks");
    js_delete(js_get(j, "data"), "on_corrupt"); /* the records that are kept have their hash */
    js_delete(js_get(j, "data"), "decode_threads");
    if (strcmp(js_string(js_path(j, "teacher.cache.precision"), ""), "float16") != 0)
        js_delete(js_get(js_get(j, "teacher"), "cache"), "precision");
    if (strcmp(js_string(js_path(j, "teacher.precision"), ""), "int8") != 0)
        js_delete(js_get(j, "teacher"), "calibration_images");
    job_visit_paths(j, forget_path, NULL);
    return j;
}

static void add_difference(struct buf *b, const char *at, const struct json *before,
                           const struct json *now)
{
    char *x = js_text(before, JS_COMPACT | JS_SORTED), *y = js_text(now, JS_COMPACT | JS_SORTED);

    if (strcmp(x, y) != 0)
        buf_fmt(b, "%s%s: %.200s became %.200s", b->len ? "; " : "", at, before ? x : "nothing",
                now ? y : "nothing");
    free(x);
    free(y);
}

static void compare(struct buf *b, const char *at, const struct json *before,
                    const struct json *now)
{
    if (js_kind(before) != JS_OBJECT || js_kind(now) != JS_OBJECT) {
        add_difference(b, at, before, now);
        return;
    }
    for (void *it = js_first(before); it; it = js_next(before, it)) {
        char *place = str_fmt("%s/%s", at, js_key(it));

        compare(b, place, js_value(it), js_get(now, js_key(it)));
        free(place);
    }
    for (void *it = js_first(now); it; it = js_next(now, it)) {
        char *place = str_fmt("%s/%s", at, js_key(it));

        if (!js_get(before, js_key(it)))
            add_difference(b, place, NULL, js_value(it));
        free(place);
    }
}

char *job_difference(const struct json *before, const struct json *now)
{
    struct buf b = buf_new(0);

    compare(&b, "#", before, now);
    if (b.len)
        return buf_take(&b);
    buf_free(&b);
    return NULL;
}
