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
    char *architecture;      /* of a model; "": its row is damaged, */
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

bool refs_has_names(const struct json *spec)
{
    size_t i = 0;

    while (i < ARRAY_LEN(fields) && !name_in(spec, &fields[i]))
        i++;
    return i < ARRAY_LEN(fields);
}

/* -- At submission ----------------------------------------------------------------------------- */

static void take_architecture(struct json *object, const struct field *f, const struct target *t,
                              struct problems *p)
{
    const char *said = js_string(js_get(object, "model"), NULL);
    char *pointer = str_fmt("#/%s/model", f->object);

    if (!*t->architecture && !said)
        problems_add(p, pointer,
                     "expected the architecture of %s, whose row in state.db is damaged",
                     t->pinned);
    else if (js_kind(js_get(object, "model")) == JS_NULL)
        js_set(object, "model", js_new_string(t->architecture));
    else if (said && *t->architecture && strcmp(said, t->architecture) != 0)
        problems_add(p, pointer, "is \"%s\", but %s is a %s", said, t->pinned, t->architecture);
    free(pointer);
}

/* A teacher, or a model that is judged, gets its images as it was trained with them, unless the job says
 * otherwise. */
static void take_normalisation(struct json *spec, const struct field *f, const struct target *t)
{
    const bool judged = strcmp(js_string(js_get(spec, "kind"), ""), "eval") == 0;
    struct json *of = NULL;

    if (strcmp(f->object, "teacher") == 0)
        of = js_get(spec, "teacher");
    else if (strcmp(f->object, "student") == 0 && judged)
        of = js_get(spec, "data");
    if (js_kind(of) != JS_OBJECT || js_kind(js_get(of, "mean")) != JS_NULL ||
        js_kind(js_get(of, "std")) != JS_NULL || js_kind(t->mean) != JS_ARRAY ||
        js_kind(t->std) != JS_ARRAY)
        return;
    js_set(of, "mean", js_copy(t->mean));
    js_set(of, "std", js_copy(t->std));
}

/* name_alone: nothing is filled in. */
static void pin(struct daemon *d, struct json *spec, const struct field *f, bool name_alone,
                struct problems *p)
{
    struct json *object = js_get(spec, f->object);
    struct target t = {.plain = NULL};
    struct error err;

    if (!f->find(d, name_in(spec, f), &t, &err)) {
        problems_add(p, f->pointer, "%s", err.msg);
        return;
    }
    js_set(object, f->member, js_new_string(t.pinned));
    if (t.architecture && !name_alone)
        take_architecture(object, f, &t, p);
    if (!name_alone)
        take_normalisation(spec, f, &t);
    target_fini(&t);
}

/* -- In a sweep: names among its values for a field or for all of the field's object ------------- */

/* What is done with each: returns another text in its place, or NULL. free() */
typedef char *(*visit_fn)(const struct field *f, const char *pointer, const char *text, void *arg);

static struct json *visit_value(struct json *take_value, const char *key, const struct field *f,
                                const char *pointer, visit_fn visit, void *arg)
{
    const bool whole = strcmp(key, f->object) == 0 && js_kind(take_value) == JS_OBJECT;
    const struct json *place = whole ? js_get(take_value, f->member) : take_value;
    const char *text = whole || strcmp(key, f->name) == 0 ? js_string(place, NULL) : NULL;
    char *other = text && f->is_ref(text) ? visit(f, pointer, text, arg) : NULL;

    if (other && whole) {
        js_set(take_value, f->member, js_new_string(other));
    } else if (other) {
        js_free(take_value);
        take_value = js_new_string(other);
    }
    free(other);
    return take_value;
}

static struct json *visit_fields(const struct json *value, const char *key, const char *pointer,
                                 visit_fn visit, void *arg)
{
    struct json *v = js_copy(value);

    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        v = visit_value(v, key, &fields[i], pointer, visit, arg);
    return v;
}

static void visit_values(struct json *axis, size_t i, visit_fn visit, void *arg)
{
    const char *key = js_string(js_get(axis, "field"), "");
    const struct json *values = js_get(axis, "values");
    struct json *after = js_new_array();

    for (size_t k = 0; k < js_len(values); k++) {
        char *pointer = str_fmt("#/sweep/grid/%zu/values/%zu", i, k);

        js_push(after, visit_fields(js_at(values, k), key, pointer, visit, arg));
        free(pointer);
    }
    js_set(axis, "values", after);
}

static void visit_grid(struct json *spec, visit_fn visit, void *arg)
{
    const struct json *grid = js_path(spec, "sweep.grid");

    for (size_t i = 0; js_kind(grid) == JS_ARRAY && i < js_len(grid); i++)
        if (js_kind(js_at(grid, i)) == JS_OBJECT &&
            js_kind(js_get(js_at(grid, i), "values")) == JS_ARRAY)
            visit_values(js_at(grid, i), i, visit, arg);
}

static void visit_baseline(struct json *spec, visit_fn visit, void *arg)
{
    const struct json *before = js_path(spec, "sweep.baseline");
    struct json *after;

    if (js_kind(before) != JS_OBJECT)
        return;
    after = js_new_object();
    for (void *it = js_first(before); it; it = js_next(before, it))
        js_set(after, js_key(it),
               visit_fields(js_value(it), js_key(it), "#/sweep/baseline", visit, arg));
    js_set(js_get(spec, "sweep"), "baseline", after);
}

struct pinning {
    struct daemon *d;
    struct problems *p;
};

static char *pin_value(const struct field *f, const char *pointer, const char *text, void *arg)
{
    const struct pinning *pinning = arg;
    struct target t = {.plain = NULL};
    char *pinned = NULL;
    struct error err;

    if (f->find(pinning->d, text, &t, &err))
        pinned = str_dup(t.pinned);
    else
        problems_add(pinning->p, pointer, "%s", err.msg);
    target_fini(&t);
    return pinned;
}

void refs_pin(struct daemon *d, struct json *spec, struct problems *p)
{
    const bool sweep = js_kind(js_get(spec, "sweep")) == JS_OBJECT;
    struct pinning pinning = {d, p};

    if (sweep) {
        visit_grid(spec, pin_value, &pinning);
        visit_baseline(spec, pin_value, &pinning);
    }
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (name_in(spec, &fields[i]))
            pin(d, spec, &fields[i], sweep, p);
}

/* field: "teacher.weights", or the place of a sweep's value. */
static bool note(struct daemon *d, const char *job, const char *field, const struct target *t,
                 struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(d->store), "INSERT OR REPLACE INTO job_use VALUES(?,?,?,?,?)", err);

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    db_bind_text(q, 2, field);
    db_bind_text(q, 3, t->ref.name);
    db_bind_int(q, 4, t->ref.version);
    db_bind_text(q, 5, t->sha256);
    return db_run(q, err);
}

bool refs_restore(struct daemon *d, const char *job, const struct json *uses, struct error *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < js_len(uses); i++) {
        const struct json *use = js_at(uses, i);
        struct target t = {.ref.version = js_int(js_get(use, "version"), 0)};

        snprintf(t.ref.name, sizeof(t.ref.name), "%s", js_string(js_get(use, "name"), ""));
        snprintf(t.sha256, sizeof(t.sha256), "%s", js_string(js_get(use, "sha256"), ""));
        ok = note(d, job, js_string(js_get(use, "field"), ""), &t, err);
    }
    return ok;
}

static bool note_name(struct daemon *d, const char *job, const struct field *f, const char *field,
                      const char *text, struct error *err)
{
    struct target t = {.plain = NULL};
    bool ok = f->find(d, text, &t, err) && note(d, job, field, &t, err);

    target_fini(&t);
    return ok;
}

struct noting {
    struct daemon *d;
    const char *job;
    struct error *err;
    bool ok;
};

static char *note_value(const struct field *f, const char *pointer, const char *text, void *arg)
{
    struct noting *n = arg;

    n->ok = n->ok && note_name(n->d, n->job, f, pointer, text, n->err);
    return NULL;
}

bool refs_note(struct daemon *d, const struct job *j, struct error *err)
{
    struct json *spec;
    struct noting noting = {d, j->id, err, true};

    /* Most specs name nothing, and need not be read again to know it. */
    if (!strstr(j->spec, REF_MODEL) && !strstr(j->spec, REF_DATASET))
        return true;
    spec = js_parse(j->spec, strlen(j->spec), err);
    noting.ok = spec;
    for (size_t i = 0; noting.ok && i < ARRAY_LEN(fields); i++) {
        const char *name = name_in(spec, &fields[i]);

        noting.ok = !name || note_name(d, j->id, &fields[i], fields[i].name, name, err);
    }
    if (noting.ok)
        visit_grid(spec, note_value, &noting);
    js_free(spec);
    return noting.ok;
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
