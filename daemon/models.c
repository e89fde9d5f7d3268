#include "daemon/models.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/row.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

static const char *const roles[MODEL_ROLE_COUNT] = {
    [MODEL_TEACHER] = "teacher", [MODEL_START] = "start"};

void model_fini(struct model *m)
{
    js_free(m->about);
    *m = (struct model){.seq = 0};
}

char *model_title(const struct model *m)
{
    return str_fmt("%s@%" PRId64, m->name, m->version);
}

/* -- Rows -------------------------------------------------------------------------------------- */

#define COLUMNS \
    "seq, name, version, kind, sha256, tensors_sha256, size, created_ms, coalesce(job, ''), about"

static void read_model(struct db_stmt *q, struct model *m)
{
    char what[REF_NAME_SIZE + 32];

    snprintf(what, sizeof(what), "model %s@%" PRId64, db_text(q, 1), db_int(q, 2));
    *m = (struct model){.seq = db_int(q, 0),
                        .version = db_int(q, 2),
                        .size = db_int(q, 6),
                        .created_ms = db_int(q, 7),
                        .about = row_json(q, 9, "about", JS_OBJECT, what)};
    snprintf(m->name, sizeof(m->name), "%s", db_text(q, 1));
    snprintf(m->kind, sizeof(m->kind), "%s", db_text(q, 3));
    snprintf(m->sha256, sizeof(m->sha256), "%s", db_text(q, 4));
    snprintf(m->tensors_sha256, sizeof(m->tensors_sha256), "%s", db_text(q, 5));
    snprintf(m->job, sizeof(m->job), "%s", db_text(q, 8));
}

static bool one(struct db_stmt *q, struct model *out, struct error *err)
{
    enum db_result got = db_step(q, err);

    *out = (struct model){.seq = 0};
    if (got == DB_ROW)
        read_model(q, out);
    db_reset(q);
    return got != DB_FAILED;
}

static bool each(struct db_stmt *q, model_fn fn, void *arg, struct error *err)
{
    enum db_result got;
    struct model m;

    while ((got = db_step(q, err)) == DB_ROW) {
        read_model(q, &m);
        fn(&m, arg);
        model_fini(&m);
    }
    db_reset(q);
    return got == DB_DONE;
}

bool model_by_content(struct store *s, const char *name, const char *sha256, struct model *out,
                      struct error *err)
{
    struct db_stmt *q = db_prepare(
        store_state(s), "SELECT " COLUMNS " FROM model WHERE name=? AND sha256=? LIMIT 1", err);

    if (!q)
        return false;
    db_bind_text(q, 1, name);
    db_bind_text(q, 2, sha256);
    return one(q, out, err);
}

bool model_by_tensors(struct store *s, const char *tensors_sha256, struct model *out,
                      struct error *err)
{
    struct db_stmt *q = db_prepare(
        store_state(s), "SELECT " COLUMNS " FROM model WHERE tensors_sha256=? ORDER BY seq LIMIT 1",
        err);

    if (!q)
        return false;
    db_bind_text(q, 1, tensors_sha256);
    return one(q, out, err);
}

bool model_parent(struct store *s, int64_t seq, enum model_role role, struct model *out,
                  struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s),
                                   "SELECT " COLUMNS " FROM model WHERE seq ="
                                   " (SELECT parent FROM model_parent WHERE child=? AND role=?)",
                                   err);

    if (!q)
        return false;
    db_bind_int(q, 1, seq);
    db_bind_text(q, 2, roles[role]);
    return one(q, out, err);
}

static bool not_found(struct store *s, const struct ref *ref, struct error *err)
{
    struct ref newest = *ref;
    struct model m;

    if (!ref->version)
        return err_set(err, ERR_NOT_FOUND, "there is no model \"%s\"", ref->name);
    newest.version = 0;
    if (!model_find(s, &newest, &m, err))
        return false;
    err_set(err, ERR_NOT_FOUND, "model \"%s\" has no version %" PRId64 "; the newest is %" PRId64,
            ref->name, ref->version, m.version);
    model_fini(&m);
    return false;
}

bool model_find(struct store *s, const struct ref *ref, struct model *out, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s),
                                   "SELECT " COLUMNS " FROM model WHERE name=?1 AND"
                                   " (?2=0 OR version=?2) ORDER BY version DESC LIMIT 1",
                                   err);

    if (!q)
        return false;
    db_bind_text(q, 1, ref->name);
    db_bind_int(q, 2, ref->version);
    return one(q, out, err) && (out->seq || not_found(s, ref, err));
}

bool models_page(struct store *s, int64_t before, int64_t limit, const char *name, const char *kind,
                 model_fn fn, void *arg, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s),
                                   "SELECT " COLUMNS " FROM model AS m WHERE seq < ?1 AND"
                                   " (?3 IS NULL OR name=?3) AND (?4 IS NULL OR kind=?4) AND"
                                   " version = (SELECT max(version) FROM model WHERE name=m.name)"
                                   " ORDER BY seq DESC LIMIT ?2",
                                   err);

    if (!q)
        return false;
    db_bind_int(q, 1, before ? before : INT64_MAX);
    db_bind_int(q, 2, limit);
    db_bind_text(q, 3, name);
    db_bind_text(q, 4, kind);
    return each(q, fn, arg, err);
}

bool model_versions(struct store *s, const char *name, model_fn fn, void *arg, struct error *err)
{
    struct db_stmt *q = db_prepare(
        store_state(s), "SELECT " COLUMNS " FROM model WHERE name=? ORDER BY version DESC", err);

    if (!q)
        return false;
    db_bind_text(q, 1, name);
    return each(q, fn, arg, err);
}

/* -- Changes ----------------------------------------------------------------------------------- */

/* Numbers are never given twice, also when the newest version is removed. */
static bool next_version(struct store *s, struct model *m, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s),
                                   "INSERT INTO model_name VALUES(?, 1) ON CONFLICT(name) DO"
                                   " UPDATE SET versions=versions+1 RETURNING versions",
                                   err);
    bool ok;

    if (!q)
        return false;
    db_bind_text(q, 1, m->name);
    ok = db_step(q, err) == DB_ROW;
    m->version = ok ? db_int(q, 0) : 0;
    db_reset(q);
    return ok;
}

static bool insert(struct store *s, struct model *m, struct error *err)
{
    static const char sql[] = "INSERT INTO model(name, version, kind, sha256, tensors_sha256, size,"
                              " created_ms, job, about) VALUES(?,?,?,?,?,?,?,?,?)";
    struct db_stmt *q = db_prepare(store_state(s), sql, err);
    char *about = js_text(m->about, JS_COMPACT);
    bool ok = q;

    if (ok) {
        db_bind_text(q, 1, m->name);
        db_bind_int(q, 2, m->version);
        db_bind_text(q, 3, m->kind);
        db_bind_text(q, 4, m->sha256);
        db_bind_text(q, 5, m->tensors_sha256);
        db_bind_int(q, 6, m->size);
        db_bind_int(q, 7, m->created_ms);
        db_bind_text(q, 8, *m->job ? m->job : NULL);
        db_bind_text(q, 9, about);
        ok = db_run(q, err);
    }
    free(about);
    m->seq = ok ? db_last_rowid(store_state(s)) : 0;
    return ok;
}

static bool add_parents(struct store *s, int64_t child, const int64_t parents[MODEL_ROLE_COUNT],
                        struct error *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < MODEL_ROLE_COUNT; i++) {
        struct db_stmt *q =
            db_prepare(store_state(s), "INSERT INTO model_parent VALUES(?,?,?)", err);

        if (!parents[i])
            continue;
        if (q) {
            db_bind_int(q, 1, child);
            db_bind_text(q, 2, roles[i]);
            db_bind_int(q, 3, parents[i]);
        }
        ok = q && db_run(q, err);
    }
    return ok;
}

/* The model protects its file from now on. */
static bool release_upload(struct store *s, const char *sha256, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(s), "DELETE FROM upload WHERE sha256=? AND complete", err);

    if (!q)
        return false;
    db_bind_text(q, 1, sha256);
    return db_run(q, err);
}

bool model_add(struct store *s, struct model *m, const int64_t parents[MODEL_ROLE_COUNT],
               struct error *err)
{
    bool ok = store_begin(s, err) && next_version(s, m, err) && insert(s, m, err) &&
              add_parents(s, m->seq, parents, err) && release_upload(s, m->sha256, err) &&
              store_commit(s, err);

    if (!ok)
        store_rollback(s);
    return ok;
}

/* A model that comes from it; seq 0 when there is none. */
static bool a_child(struct store *s, int64_t seq, struct model *out, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s),
                                   "SELECT " COLUMNS " FROM model WHERE seq IN"
                                   " (SELECT child FROM model_parent WHERE parent=?) LIMIT 1",
                                   err);

    if (!q)
        return false;
    db_bind_int(q, 1, seq);
    return one(q, out, err);
}

static bool has_no_child(struct store *s, const struct model *m, struct error *err)
{
    struct model child;
    bool none;

    if (!a_child(s, m->seq, &child, err))
        return false;
    none = !child.seq ||
           err_set(err, ERR_CONFLICT, "%s@%" PRId64 " comes from %s@%" PRId64 "; remove it first",
                   child.name, child.version, m->name, m->version);
    model_fini(&child);
    return none;
}

bool model_remove(struct store *s, const struct model *m, struct error *err)
{
    struct db_stmt *q;

    if (!has_no_child(s, m, err))
        return false;
    q = db_prepare(store_state(s), "DELETE FROM model WHERE seq=?", err);
    if (!q)
        return false;
    db_bind_int(q, 1, m->seq);
    return db_run(q, err);
}

/* -- Family ------------------------------------------------------------------------------------ */

#define FAMILY                                                                      \
    "WITH RECURSIVE above(seq) AS (SELECT ?1 UNION SELECT parent FROM model_parent" \
    " JOIN above ON child=above.seq),"                                              \
    " below(seq) AS (SELECT ?1 UNION SELECT child FROM model_parent"                \
    " JOIN below ON parent=below.seq),"                                             \
    " family(seq) AS (SELECT seq FROM above UNION SELECT seq FROM below) "

static bool steps(struct store *s, int64_t seq, model_step_fn fn, void *arg, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s),
                                   FAMILY "SELECT parent, child, role FROM model_parent WHERE"
                                          " parent IN family AND child IN family"
                                          " ORDER BY child, role DESC",
                                   err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_int(q, 1, seq);
    while ((got = db_step(q, err)) == DB_ROW)
        fn(db_int(q, 0), db_int(q, 1), db_text(q, 2), arg);
    db_reset(q);
    return got == DB_DONE;
}

bool model_family(struct store *s, int64_t seq, model_fn fn, model_step_fn step, void *arg,
                  struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(s),
                   FAMILY "SELECT " COLUMNS " FROM model WHERE seq IN family ORDER BY seq", err);

    if (!q)
        return false;
    db_bind_int(q, 1, seq);
    return each(q, fn, arg, err) && steps(s, seq, step, arg, err);
}

/* -- JSON -------------------------------------------------------------------------------------- */

static struct json *text_or_null(const char *text)
{
    return *text ? js_new_string(text) : js_new_null();
}

/* Copies the members that stand in `about`; null for the others. */
static void copy_members(struct json *to, const struct json *about, const char *const *names,
                         size_t n)
{
    for (size_t i = 0; i < n; i++) {
        js_set(to, names[i], row_json_shown(js_get(about, names[i])));
    }
}

static struct json *parent_json(struct store *s, int64_t seq, enum model_role role)
{
    struct json *j = js_new_null();
    struct model m = {.seq = 0};

    if (model_parent(s, seq, role, &m, NULL) && m.seq) {
        js_free(j);
        j = js_new_object();
        js_set(j, "model", js_new_string(m.name));
        js_set(j, "version", js_new_int(m.version));
        js_set(j, "sha256", js_new_string(m.sha256));
    }
    model_fini(&m);
    return j;
}

static bool shows_job(struct store *s, const struct model *m, const char *only)
{
    char project[REF_NAME_SIZE];

    return !only ||
           (m->job[0] && store_job_project(s, m->job, project, NULL) && strcmp(project, only) == 0);
}

static struct json *lineage_json(struct store *s, const struct model *m, const char *only)
{
    static const char *const names[] = {"data_sha256", "teacher_sha256", "dataset"};
    struct json *j = js_new_object();

    js_set(j, "job", text_or_null(shows_job(s, m, only) ? m->job : ""));
    for (enum model_role i = 0; i < MODEL_ROLE_COUNT; i++)
        js_set(j, roles[i], parent_json(s, m->seq, i));
    copy_members(j, m->about, names, ARRAY_LEN(names));
    return j;
}

struct json *model_json(struct store *s, const struct model *m, const char *only)
{
    static const char *const names[] = {"architecture", "classes", "class_numbers", "image_size",
                                        "mean",         "std",     "format",        "labels"};
    struct json *j = js_new_object();
    char when[CLOCK_TEXT];

    js_set(j, "name", js_new_string(m->name));
    js_set(j, "version", js_new_int(m->version));
    js_set(j, "kind", js_new_string(m->kind));
    copy_members(j, m->about, names, ARRAY_LEN(names));
    js_set(j, "sha256", js_new_string(m->sha256));
    js_set(j, "tensors_sha256", text_or_null(m->tensors_sha256));
    js_set(j, "size_bytes", js_new_int(m->size));
    js_set(j, "created_at", js_new_string(clock_text(m->created_ms, when)));
    js_set(j, "lineage", lineage_json(s, m, only));
    return j;
}
