#include "daemon/refs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/blobs.h"
#include "daemon/datasets.h"
#include "daemon/db.h"
#include "daemon/models.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

/* What a name stands for. */
struct target {
    struct ref ref;
    char sha256[SHA256_HEX];
    char *pinned;            /* as the spec has it */
    char *plain;             /* as the worker has it */
    char *architecture;      /* of a model, */
    struct json *mean, *std; /* and how it wants its images; JSON null where that is not known */
};

static void target_fini(struct target *t)
{
    free(t->pinned);
    free(t->plain);
    free(t->architecture);
    js_free(t->mean);
    js_free(t->std);
}

static bool find_model(struct daemon *d, const char *text, struct target *t, struct error *err)
{
    struct model m;

    if (!ref_parse_model(text, &t->ref, err) || !model_find(d->store, &t->ref, &m, err))
        return false;
    t->ref.version = m.version;
    memcpy(t->sha256, m.sha256, sizeof(t->sha256));
    t->pinned = str_fmt(REF_MODEL "%s@%" PRId64, m.name, m.version);
    t->plain = blob_path(d, m.sha256);
    t->architecture = str_dup(js_string(js_get(m.about, "architecture"), ""));
    t->mean = js_copy(js_get(m.about, "mean"));
    t->std = js_copy(js_get(m.about, "std"));
    model_fini(&m);
    return true;
}

static bool find_dataset(struct daemon *d, const char *text, struct target *t, struct error *err)
{
    struct dataset set;

    if (!ref_parse_dataset(text, &t->ref, err) || !dataset_find(d->store, t->ref.name, &set, err))
        return false;
    memcpy(t->sha256, set.sha256, sizeof(t->sha256));
    t->pinned = str_dup(text);
    t->plain = str_dup(set.source);
    dataset_fini(&set);
    return true;
}

/* The places of a spec that may name something. */
static const struct field {
    const char *name, *object, *member, *pointer;
    bool (*is_ref)(const char *text);
    bool (*find)(struct daemon *d, const char *text, struct target *t, struct error *err);
} fields[] = {
    {"teacher.weights", "teacher", "weights", "#/teacher/weights", ref_is_model, find_model},
    {"student.weights", "student", "weights", "#/student/weights", ref_is_model, find_model},
    {"data.source", "data", "source", "#/data/source", ref_is_dataset, find_dataset},
};

/* The name that stands in the field; NULL when it has none. */
static const char *name_in(const struct json *spec, const struct field *f)
{
    const char *text = js_string(js_get(js_get(spec, f->object), f->member), NULL);

    return text && f->is_ref(text) ? text : NULL;
}

/* -- At submission ----------------------------------------------------------------------------- */

static void take_architecture(struct json *object, const struct field *f, const struct target *t,
                              struct problems *p)
{
    const char *said = js_string(js_get(object, "model"), NULL);
    char *pointer = str_fmt("#/%s/model", f->object);

    if (js_kind(js_get(object, "model")) == JS_NULL)
        js_set(object, "model", js_new_string(t->architecture));
    else if (said && strcmp(said, t->architecture) != 0)
        problems_add(p, pointer, "is \"%s\", but %s is a %s", said, t->pinned, t->architecture);
    free(pointer);
}

/* A teacher gets its images as it was trained with them, unless the job says otherwise. */
static void take_normalisation(struct json *object, const struct field *f, const struct target *t)
{
    if (strcmp(f->object, "teacher") != 0 || js_kind(js_get(object, "mean")) != JS_NULL ||
        js_kind(js_get(object, "std")) != JS_NULL || js_kind(t->mean) != JS_ARRAY ||
        js_kind(t->std) != JS_ARRAY)
        return;
    js_set(object, "mean", js_copy(t->mean));
    js_set(object, "std", js_copy(t->std));
}

static void pin(struct daemon *d, struct json *spec, const struct field *f, struct problems *p)
{
    struct json *object = js_get(spec, f->object);
    struct target t = {.plain = NULL};
    struct error err;

    if (!f->find(d, name_in(spec, f), &t, &err)) {
        problems_add(p, f->pointer, "%s", err.msg);
        return;
    }
    js_set(object, f->member, js_new_string(t.pinned));
    if (t.architecture)
        take_architecture(object, f, &t, p);
    take_normalisation(object, f, &t);
    target_fini(&t);
}

/* The value of a sweep for such a field; take_value is its place. */
static struct json *pin_value(struct daemon *d, const struct field *f, const char *pointer,
                              struct json *take_value, struct problems *p)
{
    const char *text = js_string(take_value, NULL);
    struct target t = {.plain = NULL};
    struct json *pinned = take_value;
    struct error err;

    if (!text || !f->is_ref(text))
        return take_value;
    if (f->find(d, text, &t, &err))
        pinned = js_new_string(t.pinned);
    else
        problems_add(p, pointer, "%s", err.msg);
    if (pinned != take_value)
        js_free(take_value);
    target_fini(&t);
    return pinned;
}

static void pin_values(struct daemon *d, const struct field *f, struct json *axis, size_t i,
                       struct problems *p)
{
    const struct json *values = js_get(axis, "values");
    struct json *pinned = js_new_array();

    for (size_t k = 0; k < js_len(values); k++) {
        char *pointer = str_fmt("#/sweep/grid/%zu/values/%zu", i, k);

        js_push(pinned, pin_value(d, f, pointer, js_copy(js_at(values, k)), p));
        free(pointer);
    }
    js_set(axis, "values", pinned);
}

static void pin_sweep(struct daemon *d, const struct field *f, const struct json *grid,
                      struct problems *p)
{
    for (size_t i = 0; i < js_len(grid); i++) {
        struct json *axis = js_at(grid, i);

        if (strcmp(js_string(js_get(axis, "field"), ""), f->name) == 0 &&
            js_kind(js_get(axis, "values")) == JS_ARRAY)
            pin_values(d, f, axis, i, p);
    }
}

void refs_pin(struct daemon *d, struct json *spec, struct problems *p)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        pin_sweep(d, &fields[i], js_path(spec, "sweep.grid"), p);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (name_in(spec, &fields[i]))
            pin(d, spec, &fields[i], p);
}

static bool note(struct daemon *d, const char *job, const struct field *f, const struct target *t,
                 struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(d->store), "INSERT INTO job_use VALUES(?,?,?,?,?)", err);

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    db_bind_text(q, 2, f->name);
    db_bind_text(q, 3, t->ref.name);
    db_bind_int(q, 4, t->ref.version);
    db_bind_text(q, 5, t->sha256);
    return db_run(q, err);
}

bool refs_note(struct daemon *d, const struct job *j, struct error *err)
{
    struct json *spec = js_parse(j->spec, strlen(j->spec), err);
    bool ok = spec;

    for (size_t i = 0; ok && i < ARRAY_LEN(fields); i++) {
        const char *name = name_in(spec, &fields[i]);
        struct target t = {.plain = NULL};

        ok = !name || (fields[i].find(d, name, &t, err) && note(d, j->id, &fields[i], &t, err));
        target_fini(&t);
    }
    js_free(spec);
    return ok;
}

/* -- At each start ----------------------------------------------------------------------------- */

/* What a name stood for at submission it must stand for now. */
static bool check_same(struct daemon *d, const struct job *j, const struct field *f,
                       const struct target *t, struct error *err)
{
    struct ref_use use;

    return !refs_use(d, j->id, f->name, &use) || strcmp(use.sha256, t->sha256) == 0 ||
           err_set(err, ERR_CONFLICT,
                   "%s had the sha256 %s when job %s was accepted, and has %s now", t->pinned,
                   use.sha256, j->id, t->sha256);
}

static bool put_plain(struct daemon *d, const struct job *j, struct json *spec,
                      const struct field *f, struct error *err)
{
    const char *name = name_in(spec, f);
    struct target t = {.plain = NULL};
    bool ok = !name || (f->find(d, name, &t, err) && check_same(d, j, f, &t, err));

    if (ok && name)
        js_set(js_get(spec, f->object), f->member, js_new_string(t.plain));
    else if (!ok && err && err->code == ERR_NOT_FOUND)
        err->code = ERR_CONFLICT;
    target_fini(&t);
    return ok;
}

char *refs_plain(struct daemon *d, const struct job *j, struct error *err)
{
    struct json *spec = js_parse(j->spec, strlen(j->spec), err);
    char *text = NULL;
    bool ok = spec;

    for (size_t i = 0; ok && i < ARRAY_LEN(fields); i++)
        ok = put_plain(d, j, spec, &fields[i], err) || err_wrap(err, "%s", fields[i].pointer);
    if (ok)
        text = js_text(spec, JS_COMPACT);
    js_free(spec);
    return text;
}

/* -- Questions --------------------------------------------------------------------------------- */

bool refs_use(struct daemon *d, const char *job, const char *field, struct ref_use *out)
{
    struct db_stmt *q =
        db_prepare(store_state(d->store),
                   "SELECT name, version, sha256 FROM job_use WHERE job=? AND field=?", NULL);
    bool found;

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    db_bind_text(q, 2, field);
    found = db_step(q, NULL) == DB_ROW;
    if (found) {
        snprintf(out->ref.name, sizeof(out->ref.name), "%s", db_text(q, 0));
        out->ref.version = db_int(q, 1);
        snprintf(out->sha256, sizeof(out->sha256), "%s", db_text(q, 2));
    }
    db_reset(q);
    return found;
}

struct json *refs_json(struct daemon *d, const char *job)
{
    struct json *list = js_new_array();
    struct ref_use use;

    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        struct json *j;

        if (!refs_use(d, job, fields[i].name, &use))
            continue;
        j = js_new_object();
        js_set(j, "field", js_new_string(fields[i].name));
        js_set(j, "name", js_new_string(use.ref.name));
        js_set(j, "version", use.ref.version ? js_new_int(use.ref.version) : js_new_null());
        js_set(j, "sha256", js_new_string(use.sha256));
        js_push(list, j);
    }
    return list;
}

bool refs_busy(struct daemon *d, const char *name, int64_t version, char job[JOB_ID_SIZE],
               struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(d->store),
                                   "SELECT job FROM job_use JOIN job ON job.id = job_use.job"
                                   " WHERE job_use.name=? AND version=? AND state NOT IN"
                                   " ('succeeded','failed','cancelled') LIMIT 1",
                                   err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, name);
    db_bind_int(q, 2, version);
    got = db_step(q, err);
    snprintf(job, JOB_ID_SIZE, "%s", got == DB_ROW ? db_text(q, 0) : "");
    db_reset(q);
    return got != DB_FAILED;
}
