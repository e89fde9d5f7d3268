#include "daemon/datasets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/row.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"

#define COLUMNS "seq, name, source, sha256, created_ms, labels, manifest"

void dataset_fini(struct dataset *set)
{
    free(set->source);
    js_free(set->labels);
    js_free(set->manifest);
    *set = (struct dataset){.seq = 0};
}

static void read_dataset(struct db_stmt *q, struct dataset *set)
{
    char what[REF_NAME_SIZE + 16];

    snprintf(what, sizeof(what), "dataset %s", db_text(q, 1));
    *set = (struct dataset){.seq = db_int(q, 0),
                            .source = str_dup(db_text(q, 2)),
                            .created_ms = db_int(q, 4),
                            .labels = row_json(q, 5, "labels", JS_OBJECT, what),
                            .manifest = row_json(q, 6, "manifest", JS_OBJECT, what)};
    snprintf(set->name, sizeof(set->name), "%s", db_text(q, 1));
    snprintf(set->sha256, sizeof(set->sha256), "%s", db_text(q, 3));
}

bool dataset_add(struct store *s, struct dataset *set, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s),
                                   "INSERT INTO dataset(name, source, sha256, created_ms, labels,"
                                   " manifest) VALUES(?,?,?,?,?,?)",
                                   err);
    char *labels = js_text(set->labels, JS_COMPACT), *manifest = js_text(set->manifest, JS_COMPACT);
    bool ok = q;

    if (ok) {
        db_bind_text(q, 1, set->name);
        db_bind_text(q, 2, set->source);
        db_bind_text(q, 3, set->sha256);
        db_bind_int(q, 4, set->created_ms);
        db_bind_text(q, 5, labels);
        db_bind_text(q, 6, manifest);
        ok = db_run(q, err);
    }
    free(labels);
    free(manifest);
    set->seq = ok ? db_last_rowid(store_state(s)) : 0;
    return ok;
}

bool dataset_remove(struct store *s, const struct dataset *set, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s), "DELETE FROM dataset WHERE seq=?", err);

    if (!q)
        return false;
    db_bind_int(q, 1, set->seq);
    return db_run(q, err);
}

bool dataset_find(struct store *s, const char *name, struct dataset *out, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(s), "SELECT " COLUMNS " FROM dataset WHERE name=?", err);
    enum db_result got;

    *out = (struct dataset){.seq = 0};
    if (!q)
        return false;
    db_bind_text(q, 1, name);
    got = db_step(q, err);
    if (got == DB_ROW)
        read_dataset(q, out);
    else if (got == DB_DONE)
        err_set(err, ERR_NOT_FOUND, "there is no data set \"%.80s\"", name);
    db_reset(q);
    return got == DB_ROW;
}

bool datasets_page(struct store *s, int64_t before, int64_t limit, dataset_fn fn, void *arg,
                   struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(s),
                   "SELECT " COLUMNS " FROM dataset WHERE seq < ? ORDER BY seq DESC LIMIT ?", err);
    enum db_result got;
    struct dataset set;

    if (!q)
        return false;
    db_bind_int(q, 1, before ? before : INT64_MAX);
    db_bind_int(q, 2, limit);
    while ((got = db_step(q, err)) == DB_ROW) {
        read_dataset(q, &set);
        fn(&set, arg);
        dataset_fini(&set);
    }
    db_reset(q);
    return got == DB_DONE;
}

struct json *dataset_json(const struct dataset *set)
{
    struct json *j = js_new_object();
    char when[CLOCK_TEXT];

    js_set(j, "name", js_new_string(set->name));
    js_set(j, "source", js_new_string(set->source));
    js_set(j, "sha256", js_new_string(set->sha256));
    js_set(j, "created_at", js_new_string(clock_text(set->created_ms, when)));
    js_set(j, "labels", row_json_shown(set->labels));
    js_set(j, "manifest", row_json_shown(set->manifest));
    return j;
}
