#define _GNU_SOURCE
#include "worker/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/ckpt/checkpoint.h"

enum {
    MAX_META = 20
};

/* Tensors under way to or from a file. Names are owned. */
struct tensors {
    VEC(struct st_tensor) list;
};

static void add(struct tensors *t, char *take_name, enum st_dtype dtype, const struct shape *shape,
                const void *data)
{
    struct st_tensor x = {.name = take_name, .dtype = dtype, .rank = shape->rank, .data = data};

    for (int i = 0; i < shape->rank; i++)
        x.shape[i] = shape->dim[i];
    x.bytes = (size_t)shape_count(shape) * st_dtype_size(dtype);
    vec_push(&t->list, x);
}

static void release(struct tensors *t)
{
    for (size_t i = 0; i < t->list.n; i++)
        free((char *)(uintptr_t)t->list.at[i].name);
    vec_free(&t->list);
}

static void add_region(struct tensors *t, const char *prefix, const struct flat_entry *e, size_t n,
                       const float *region)
{
    for (size_t i = 0; i < n; i++)
        add(t, str_fmt("%s%s", prefix, e[i].name), ST_F32, &e[i].shape, region + e[i].offset);
}

/* Everything of a checkpoint but its metadata; the same list serves for reading. */
static void add_all(struct tensors *t, const struct session *s, const struct run_state *st)
{
    const struct replica *r = s->replica;
    struct shape sums = shape1(SUM_COUNT), bins = shape1(NORMS_BINS);
    struct shape classes = shape1(s->ema.classes), means = shape2(s->ema.classes, s->ema.width);

    add_region(t, "param/", r->flat.params.at, r->flat.params.n, r->params);
    add_region(t, "buffer/", r->flat.buffers.at, r->flat.buffers.n, r->buffers);
    for (int i = 0; i < OPTIM_MAX_STATES && r->cfg.optim->states[i]; i++) {
        char *prefix = str_fmt("optim/%s/", r->cfg.optim->states[i]);

        add_region(t, prefix, r->flat.params.at, r->flat.params.n, r->state[i]);
        free(prefix);
    }
    add(t, str_dup("sums/epoch"), ST_F64, &sums, st->epoch_sums);
    add(t, str_dup("norms/student"), ST_I64, &bins, st->norms.counts);
    add(t, str_dup("norms/teacher"), ST_I64, &bins, st->teacher_norms.counts);
    add(t, str_dup("sums/last_epoch"), ST_F64, &sums, st->last_sums);
    add(t, str_dup("sums/val"), ST_F64, &sums, st->val_sums);
    add(t, str_dup("sums/eval"), ST_F64, &sums, st->eval_sums);
    if (s->ema.classes) {
        add(t, str_dup("ema/mean"), ST_F64, &means, s->ema.mean);
        add(t, str_dup("ema/batches"), ST_I64, &classes, s->ema.batches);
    }
}

/* Hash of what two runs must share. */
static void spec_sha256(const struct session *s, char hex[SHA256_HEX])
{
    struct json *form = job_result_form(s->job);
    char *text = js_text(form, JS_COMPACT | JS_SORTED);

    sha256_of(text, strlen(text), hex);
    free(text);
    js_free(form);
}

static void ranges_sha256(const struct session *s, char hex[SHA256_HEX])
{
    hex[0] = '\0';
    if (s->ranges.of[TEACHER_PLAIN])
        teacher_ranges_sha256(&s->ranges, hex);
}

static void means_sha256(const struct session *s, char hex[SHA256_HEX])
{
    if (s->means.classes)
        sha256_of(s->means.unit, (size_t)s->means.classes * (size_t)s->means.width * sizeof(float),
                  hex);
    else
        hex[0] = '\0';
}

/* Metadata as text; numbers are written so that they read back exactly. */
struct metadata {
    struct st_meta list[MAX_META];
    size_t n;
};

static void meta(struct metadata *m, const char *key, char *take_value)
{
    ASSERT(m->n < MAX_META);
    m->list[m->n++] = (struct st_meta){key, take_value};
}

static void meta_free(struct metadata *m)
{
    for (size_t i = 0; i < m->n; i++)
        free((char *)(uintptr_t)m->list[i].value);
}

/* Its number grows with what a checkpoint must hold. */
static const char checkpoint_format[] = "distilld-checkpoint-6";

static struct metadata metadata_of(const struct session *s, const struct run_state *st)
{
    struct metadata m = {.n = 0};
    char hex[SHA256_HEX];

    meta(&m, "format", str_dup(checkpoint_format));
    meta(&m, "step", str_fmt("%" PRId64, st->step));
    meta(&m, "epoch", str_fmt("%" PRId64, st->step / s->steps_per_epoch));
    meta(&m, "epoch_samples", str_fmt("%" PRId64, st->epoch_samples));
    meta(&m, "last_epoch_samples", str_fmt("%" PRId64, st->last_samples));
    meta(&m, "eval_step", str_fmt("%" PRId64, st->eval_step));
    meta(&m, "best_step", str_fmt("%" PRId64, st->best_step));
    meta(&m, "best_top1", str_fmt("%.17g", st->best_top1));
    meta(&m, "best_test_top1", str_fmt("%.17g", st->best_test_top1));
    meta(&m, "metrics_bytes", str_fmt("%" PRId64, st->metrics_bytes));
    spec_sha256(s, hex);
    meta(&m, "spec_sha256", str_dup(hex));
    meta(&m, "data_sha256", str_dup(s->data_sha256));
    meta(&m, "val_sha256", str_dup(s->val_sha256));
    meta(&m, "test_sha256", str_dup(s->test_sha256));
    meta(&m, "teacher_sha256", str_dup(s->teacher_sha256));
    means_sha256(s, hex);
    meta(&m, "class_means_sha256", str_dup(hex));
    ranges_sha256(s, hex);
    meta(&m, "teacher_ranges_sha256", str_dup(hex));
    meta(&m, "student_graph_sha256", str_dup(s->student_graph_sha256));
    return m;
}

/* What may differ between runs stands beside the checkpoint. */
static struct json *note_of(const struct session *s)
{
    const char *attempt = getenv("DISTILLD_GENERATION");
    struct json *note = js_new_object();
    char host[256] = "", when[CLOCK_TEXT];

    gethostname(host, sizeof(host) - 1);
    js_set(note, "written_at", js_new_string(clock_text(clock_wall_ms(), when)));
    js_set(note, "host", js_new_string(host));
    js_set(note, "ranks", js_new_int(s->size));
    js_set(note, "threads", js_new_int(s->job->resources->threads));
    js_set(note, "isa", js_new_string(backend_isa()));
    if (attempt)
        js_set(note, "attempt", js_new_string(attempt));
    return note;
}

bool state_save(const struct session *s, const struct run_state *st, struct error *err)
{
    struct tensors t = {0};
    struct metadata m = metadata_of(s, st);
    struct json *note = note_of(s);
    char *dir = rundir_file(&s->dir, "checkpoints");
    bool ok;

    add_all(&t, s, st);
    ok = checkpoint_write(dir, st->step, t.list.at, t.list.n, m.list, m.n, note, err);
    /* One that failed leaves nothing that would take the room of the next. */
    ok = checkpoint_prune(dir, s->job->checkpoint->keep, ok ? err : NULL) && ok;
    js_free(note);
    meta_free(&m);
    release(&t);
    free(dir);
    return ok || err_wrap(err, "saving step %" PRId64, st->step);
}

static bool meta_int(const struct safetensors *f, const char *key, int64_t *out, struct error *err)
{
    const char *text = st_meta(f, key);

    return (text && str_int(text, -1, INT64_MAX, out)) ||
           err_set(err, ERR_DATA, "%s: metadata has no number %s", st_path(f), key);
}

static bool meta_real(const struct safetensors *f, const char *key, double *out, struct error *err)
{
    const char *text = st_meta(f, key);

    return (text && str_double(text, out)) ||
           err_set(err, ERR_DATA, "%s: metadata has no number %s", st_path(f), key);
}

/* The checkpoint must be of this job and made from the same inputs. */
static bool check_identity(const struct session *s, const struct checkpoint *c,
                           bool allow_other_isa, struct error *err)
{
    char spec[SHA256_HEX], means[SHA256_HEX], ranges[SHA256_HEX];
    const char *isa = js_string(js_get(c->note, "isa"), "");

    spec_sha256(s, spec);
    means_sha256(s, means);
    ranges_sha256(s, ranges);
    const struct {
        const char *key, *now, *what;
    } same[] = {
        {"spec_sha256", spec, "another job"},
        {"data_sha256", s->data_sha256, "other training data"},
        {"val_sha256", s->val_sha256, "other validation data"},
        {"test_sha256", s->test_sha256, "other test data"},
        {"teacher_sha256", s->teacher_sha256, "another teacher"},
        {"class_means_sha256", means, "other class means"},
        {"teacher_ranges_sha256", ranges, "other ranges of the teacher in int8"},
        {"student_graph_sha256", s->student_graph_sha256, "another graph of the student"},
    };

    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        const char *was = st_meta(c->tensors, same[i].key);

        if (!was || strcmp(was, same[i].now) != 0)
            return err_set(err, ERR_INVALID, "%s was made with %s (%s is %.12s, now %.12s)",
                           st_path(c->tensors), same[i].what, same[i].key, was ? was : "missing",
                           same[i].now);
    }
    if (strcmp(isa, backend_isa()) == 0 || allow_other_isa)
        return true;
    return err_set(
        err, ERR_INVALID,
        "%s was made with \"%s\", this machine computes with \"%s\": results would not be "
        "bit-identical; --allow-other-isa goes on anyway and notes it in the result",
        st_path(c->tensors), isa, backend_isa());
}

static bool check_format(const struct safetensors *f, struct error *err)
{
    const char *format = st_meta(f, "format");

    return (format && strcmp(format, checkpoint_format) == 0) ||
           err_set(err, ERR_DATA,
                   "%s was written by another version of distill-worker: expected the format %s, "
                   "got %.40s; `--resume never` begins anew",
                   st_path(f), checkpoint_format, format ? format : "none");
}

static bool read_tensor(const struct safetensors *f, const struct st_tensor *want,
                        struct error *err)
{
    const struct st_tensor *t = st_find(f, want->name);
    char *has, *needs;

    if (t && t->dtype == want->dtype && t->bytes == want->bytes) {
        memcpy((void *)(uintptr_t)want->data, t->data, t->bytes);
        return true;
    }
    needs = st_describe(want);
    has = t ? st_describe(t) : str_dup("missing");
    err_set(err, ERR_DATA, "%s: tensor %s is %s; expected %s", st_path(f), want->name, has, needs);
    free(has);
    free(needs);
    return false;
}

static bool restore(struct session *s, const struct checkpoint *c, bool allow_other_isa,
                    struct run_state *st, struct error *err)
{
    const struct safetensors *f = c->tensors;
    struct tensors t = {0};
    bool ok = check_format(f, err) && check_identity(s, c, allow_other_isa, err) &&
              meta_int(f, "step", &st->step, err) &&
              meta_int(f, "epoch_samples", &st->epoch_samples, err) &&
              meta_int(f, "last_epoch_samples", &st->last_samples, err) &&
              meta_int(f, "eval_step", &st->eval_step, err) &&
              meta_int(f, "best_step", &st->best_step, err) &&
              meta_real(f, "best_top1", &st->best_top1, err) &&
              meta_real(f, "best_test_top1", &st->best_test_top1, err) &&
              meta_int(f, "metrics_bytes", &st->metrics_bytes, err);

    if (ok && st->step > s->total_steps)
        ok = err_set(err, ERR_DATA, "%s: step %" PRId64 " of a run of %" PRId64 " steps",
                     st_path(f), st->step, s->total_steps);
    add_all(&t, s, st);
    for (size_t i = 0; ok && i < t.list.n; i++)
        ok = read_tensor(f, &t.list.at[i], err);
    release(&t);
    return ok;
}

static void warn(void *arg, const char *sentence)
{
    progress_say(arg, "warning: %s", sentence);
}

/* c->step is -1 when there is nothing to go on from. */
static bool find(struct session *s, const char *dir, const char *resume, struct checkpoint *c,
                 struct error *err)
{
    *c = (struct checkpoint){.step = -1};
    if (strcmp(resume, "auto") == 0)
        return checkpoint_newest(dir, c, warn, &s->progress, err);
    return strcmp(resume, "never") == 0 || checkpoint_open(resume, c, err) ||
           err_wrap(err, "--resume %s", resume);
}

/* Rank 0 alone. Checkpoints of later steps, which do not verify or were not asked for, are removed when
 * all is well, unless they are pinned: the run will come to these steps again. */
static bool find_and_restore(struct session *s, const char *resume, bool allow_other_isa,
                             struct run_state *st, int64_t *resumed_from, struct error *err)
{
    char *dir = rundir_file(&s->dir, "checkpoints");
    const bool chosen = strcmp(resume, "auto") != 0;
    struct checkpoint c;
    bool ok = find(s, dir, resume, &c, err) &&
              (c.step < 0 || restore(s, &c, allow_other_isa, st, err)) &&
              checkpoint_drop_after(dir, c.step,
                                    chosen ? CHECKPOINT_NOT_WANTED : CHECKPOINT_DAMAGED, err);

    *resumed_from = c.step;
    checkpoint_close(&c);
    free(dir);
    return ok;
}

/* What rank 0 has read goes to all. */
static void share(struct session *s, struct run_state *st)
{
    struct replica *r = s->replica;

    coll_bcast(s->coll, st, sizeof(*st), 0);
    coll_bcast(s->coll, r->params, r->flat.param_count * sizeof(float), 0);
    coll_bcast(s->coll, r->buffers, r->flat.buffer_count * sizeof(float), 0);
    for (int i = 0; i < OPTIM_MAX_STATES && r->cfg.optim->states[i]; i++)
        coll_bcast(s->coll, r->state[i], r->flat.param_count * sizeof(float), 0);
    if (s->ema.classes) {
        size_t classes = (size_t)s->ema.classes, width = (size_t)s->ema.width;

        coll_bcast(s->coll, s->ema.mean, classes * width * sizeof(*s->ema.mean), 0);
        coll_bcast(s->coll, s->ema.batches, classes * sizeof(*s->ema.batches), 0);
    }
    replica_refresh(r);
}

bool state_load(struct session *s, const char *resume, bool allow_other_isa, struct run_state *st,
                int64_t *resumed_from, struct error *err)
{
    *st = (struct run_state){.eval_step = -1, .best_step = -1};
    if (!coll_agree(s->coll,
                    s->rank != 0 ||
                        find_and_restore(s, resume, allow_other_isa, st, resumed_from, err),
                    err))
        return false;
    coll_bcast(s->coll, resumed_from, sizeof(*resumed_from), 0);
    if (*resumed_from >= 0)
        share(s, st);
    return true;
}

static bool is_student(const struct flat_entry *e)
{
    return nets_in_student(e->name);
}

static char *channels_text(const double x[3])
{
    return str_fmt("%.9g,%.9g,%.9g", x[0], x[1], x[2]);
}

static char *numbers_text(const int32_t *x, size_t n)
{
    struct buf b = buf_new(0);

    for (size_t i = 0; i < n; i++)
        buf_fmt(&b, "%s%d", i ? "," : "", x[i]);
    return buf_take(&b);
}

/* What it takes to use the student, and where it comes from. */
static struct metadata student_metadata(const struct session *s)
{
    const Distilld__DataSpec *data = s->job->data;
    struct metadata m = {.n = 0};
    const double *mean, *std;
    char hex[SHA256_HEX];

    session_normalisation(s->job, &mean, &std);
    spec_sha256(s, hex);
    meta(&m, "format", str_dup("pt"));
    meta(&m, "model", str_dup(s->job->student->model));
    meta(&m, "classes", str_fmt("%d", dataset_classes(s->train)));
    if (data->n_classes)
        meta(&m, "class_numbers", numbers_text(data->classes, data->n_classes));
    meta(&m, "image_size", str_fmt("%d", dataset_size(s->train)));
    if (dataset_encoded(s->train))
        meta(&m, "resize", str_fmt("%d", session_resize(s->job)));
    meta(&m, "mean", channels_text(mean));
    meta(&m, "std", channels_text(std));
    meta(&m, "spec_sha256", str_dup(hex));
    meta(&m, "data_sha256", str_dup(s->data_sha256));
    if (s->job->teacher)
        meta(&m, "teacher_sha256", str_dup(s->teacher_sha256));
    return m;
}

struct student state_student(const struct session *s, const struct run_state *st)
{
    return (struct student){s->replica->params, s->replica->buffers, st->step};
}

bool state_save_student(const struct session *s, const struct student *student, const char *name,
                        struct error *err)
{
    const struct flat *f = &s->replica->flat;
    struct tensors t = {0};
    struct shape scalar = {0};
    char *path = rundir_file(&s->dir, name);
    struct metadata m = student_metadata(s);
    bool ok;

    for (size_t i = 0; i < f->params.n; i++)
        if (is_student(&f->params.at[i]))
            add_region(&t, "", &f->params.at[i], 1, student->params);
    for (size_t i = 0; i < f->buffers.n; i++) {
        const struct flat_entry *e = &f->buffers.at[i];
        size_t stem = strlen(e->name) - strlen("running_mean");

        if (!is_student(e))
            continue;
        add_region(&t, "", e, 1, student->buffers);
        if (str_ends(e->name, ".running_mean"))
            add(&t, str_fmt("%.*snum_batches_tracked", (int)stem, e->name), ST_I64, &scalar,
                &student->step);
    }
    ok = st_write(path, t.list.at, t.list.n, m.list, m.n, NULL, err);
    meta_free(&m);
    release(&t);
    free(path);
    return ok;
}
