#include "daemon/db.h"

#include <inttypes.h>
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"

struct db_stmt {
    struct db *db;
    const char *sql;
    sqlite3_stmt *handle;
};

struct db {
    sqlite3 *handle;
    char *path;
    VEC(struct db_stmt *) stmts;
    int depth; /* of transactions */
    struct histogram commits;
    bool (*before_commit)(void *arg, struct error *err);
    void *before_arg;
    int64_t rowid, changes; /* of the last statement but those of before_commit */
};

static bool fail(const struct db *db, struct error *err)
{
    int code = sqlite3_errcode(db->handle);

    return err_set(err, code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? ERR_DATA : ERR_IO,
                   "%s: %s", db->path, sqlite3_errmsg(db->handle));
}

static bool exec(struct db *db, const char *sql, struct error *err)
{
    return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK || fail(db, err);
}

static bool read_version(struct db *db, int *out, struct error *err)
{
    sqlite3_stmt *s = NULL;
    bool ok = sqlite3_prepare_v2(db->handle, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK &&
              sqlite3_step(s) == SQLITE_ROW;

    if (ok)
        *out = sqlite3_column_int(s, 0);
    else
        fail(db, err);
    sqlite3_finalize(s);
    return ok;
}

static bool migrate(struct db *db, const char *const *schema, int version, struct error *err)
{
    int at = 0;

    if (!read_version(db, &at, err))
        return false;
    if (at > version)
        return err_set(err, ERR_DATA,
                       "%s was written by a newer distilld (schema %d, this one knows %d)",
                       db->path, at, version);
    for (; at < version; at++) {
        char *script =
            str_fmt("BEGIN IMMEDIATE; %s; PRAGMA user_version=%d; COMMIT", schema[at], at + 1);
        bool ok = exec(db, script, err);

        free(script);
        if (!ok)
            return err_wrap(err, "schema version %d", at + 1);
    }
    return true;
}

struct db *db_open(const char *path, enum db_sync sync, const char *const *schema,
                   int schema_version, struct error *err)
{
    struct db *db = NEW(struct db);
    bool ok;

    db->path = str_dup(path);
    ok = sqlite3_open_v2(path, &db->handle,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW,
                         NULL) == SQLITE_OK ||
         fail(db, err);
    sqlite3_busy_timeout(db->handle, 2000);
    ok = ok && exec(db, "PRAGMA journal_mode=WAL", err) &&
         exec(db, sync == DB_SYNC_FULL ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
              err) &&
         exec(db, "PRAGMA foreign_keys=ON", err) && migrate(db, schema, schema_version, err);
    if (ok)
        return db;
    db_close(db);
    return NULL;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < db->stmts.n; i++) {
        sqlite3_finalize(db->stmts.at[i]->handle);
        free(db->stmts.at[i]);
    }
    vec_free(&db->stmts);
    sqlite3_close(db->handle);
    free(db->path);
    free(db);
}

bool db_begin(struct db *db, struct error *err)
{
    if (db->depth == 0 && !exec(db, "BEGIN IMMEDIATE", err))
        return false;
    db->depth++;
    return true;
}

void db_rollback(struct db *db)
{
    db->depth = 0;
    if (!sqlite3_get_autocommit(db->handle))
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

const struct histogram *db_commit_seconds(const struct db *db)
{
    return &db->commits;
}

void db_before_commit(struct db *db, bool (*fn)(void *arg, struct error *err), void *arg)
{
    db->before_commit = fn;
    db->before_arg = arg;
}

static bool prepare_commit(struct db *db, struct error *err)
{
    int64_t rowid = db->rowid, changes = db->changes;
    bool ok = !db->before_commit || db->before_commit(db->before_arg, err);

    db->rowid = rowid;
    db->changes = changes;
    return ok;
}

bool db_commit(struct db *db, struct error *err)
{
    double began = clock_mono_s();
    bool ok;

    ASSERT(db->depth > 0);
    if (db->depth > 1) {
        db->depth--;
        return true;
    }
    ok = prepare_commit(db, err) && exec(db, "COMMIT", err);
    db->depth = 0;
    histogram_add(&db->commits, clock_mono_s() - began);
    if (ok)
        return true;
    db_rollback(db);
    return false;
}

struct db_stmt *db_prepare(struct db *db, const char *sql, struct error *err)
{
    struct db_stmt *s;

    for (size_t i = 0; i < db->stmts.n; i++)
        if (db->stmts.at[i]->sql == sql) {
            db_reset(db->stmts.at[i]);
            return db->stmts.at[i];
        }
    s = NEW(struct db_stmt);
    *s = (struct db_stmt){.db = db, .sql = sql};
    if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->handle, NULL) !=
        SQLITE_OK) {
        fail(db, err);
        free(s);
        return NULL;
    }
    vec_push(&db->stmts, s);
    return s;
}

void db_bind_int(struct db_stmt *s, int at, int64_t v)
{
    sqlite3_bind_int64(s->handle, at, v);
}

void db_bind_real(struct db_stmt *s, int at, double v)
{
    if (isnan(v))
        sqlite3_bind_null(s->handle, at);
    else
        sqlite3_bind_double(s->handle, at, v);
}

void db_bind_text(struct db_stmt *s, int at, const char *v)
{
    sqlite3_bind_text(s->handle, at, v, -1, SQLITE_STATIC);
}

enum db_result db_step(struct db_stmt *s, struct error *err)
{
    switch (sqlite3_step(s->handle)) {
    case SQLITE_ROW: return DB_ROW;
    case SQLITE_DONE: return DB_DONE;
    default: fail(s->db, err); return DB_FAILED;
    }
}

void db_reset(struct db_stmt *s)
{
    sqlite3_reset(s->handle);
    sqlite3_clear_bindings(s->handle);
}

static bool run(struct db_stmt *s, struct error *err)
{
    bool ok = db_step(s, err) == DB_DONE;

    s->db->rowid = sqlite3_last_insert_rowid(s->db->handle);
    s->db->changes = sqlite3_changes(s->db->handle);
    db_reset(s);
    return ok;
}

bool db_run(struct db_stmt *s, struct error *err)
{
    struct db *db = s->db;

    if (db->depth > 0 || !db->before_commit || sqlite3_stmt_readonly(s->handle))
        return run(s, err);
    if (!db_begin(db, err)) {
        db_reset(s);
        return false;
    }
    if (run(s, err) && db_commit(db, err))
        return true;
    db_rollback(db);
    return false;
}

int64_t db_int(struct db_stmt *s, int at)
{
    return sqlite3_column_int64(s->handle, at);
}

double db_real(struct db_stmt *s, int at)
{
    return db_is_null(s, at) ? (double)NAN : sqlite3_column_double(s->handle, at);
}

const char *db_text(struct db_stmt *s, int at)
{
    const char *text = (const char *)sqlite3_column_text(s->handle, at);

    return text ? text : "";
}

bool db_is_null(struct db_stmt *s, int at)
{
    return sqlite3_column_type(s->handle, at) == SQLITE_NULL;
}

int64_t db_last_rowid(struct db *db)
{
    return db->rowid;
}

int64_t db_changes(struct db *db)
{
    return db->changes;
}

int64_t db_total_changes(struct db *db)
{
    return sqlite3_total_changes(db->handle);
}
