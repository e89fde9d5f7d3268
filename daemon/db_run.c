/* Statements and transactions. */
#include "daemon/db_parts.h"

#include <math.h>
#include <stdlib.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"

/* -- Transactions -------------------------------------------------------------------------------------- */

/* As exec, for what is done with every submission: to read the text takes longer than to do it. */
static bool exec_again(struct db *db, const char *sql, struct error *err)
{
    struct db_stmt *s = db_prepare(db, sql, err);
    bool ok = s && db_step(s, err) == DB_DONE;

    if (s)
        db_reset(s);
    return ok;
}

bool db_begin(struct db *db, struct error *err)
{
    if (db->broken)
        return db_fail_broken(db, err);
    if (db->depth == 0 && !exec_again(db, "BEGIN IMMEDIATE", err))
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

bool db_in_transaction(const struct db *db)
{
    return db->depth > 0 && !sqlite3_get_autocommit(db->handle);
}

/* Outside of a transaction a savepoint would be one, and its end would commit. */
bool db_part_begin(struct db *db, struct error *err)
{
    ASSERT(db->depth > 0);
    if (!db_in_transaction(db))
        return err_set(err, ERR_IO, "%s: the transaction has ended early", db->path);
    return exec_again(db, "SAVEPOINT part", err);
}

bool db_part_end(struct db *db, struct error *err)
{
    return exec_again(db, "RELEASE part", err);
}

/* A failure that has ended the whole transaction leaves nothing to undo. */
void db_part_undo(struct db *db)
{
    if (!sqlite3_get_autocommit(db->handle))
        sqlite3_exec(db->handle, "ROLLBACK TO part; RELEASE part", NULL, NULL, NULL);
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
    ok = prepare_commit(db, err) && exec_again(db, "COMMIT", err);
    db->depth = 0;
    histogram_add(&db->commits, clock_mono_s() - began);
    if (ok) {
        db_note_success(db);
        return true;
    }
    db_rollback(db);
    return false;
}

/* -- Statements ---------------------------------------------------------------------------------------- */

/* text: the whole of it, of which sql and rows are the name. */
static struct db_stmt *prepare_text(struct db *db, const char *sql, size_t rows, const char *text,
                                    struct error *err)
{
    struct db_stmt *s = NEW(struct db_stmt);

    *s = (struct db_stmt){.db = db, .sql = sql, .rows = rows};
    if (sqlite3_prepare_v3(db->handle, text, -1, SQLITE_PREPARE_PERSISTENT, &s->handle, NULL) !=
        SQLITE_OK) {
        db_fail(db, err);
        free(s);
        return NULL;
    }
    vec_push(&db->stmts, s);
    return s;
}

static struct db_stmt *find_prepared(struct db *db, const char *sql, size_t rows)
{
    for (size_t i = 0; i < db->stmts.n; i++) {
        struct db_stmt *s = db->stmts.at[i];

        if (s->sql == sql && s->rows == rows) {
            db_reset(s);
            return s;
        }
    }
    return NULL;
}

struct db_stmt *db_prepare(struct db *db, const char *sql, struct error *err)
{
    struct db_stmt *s = find_prepared(db, sql, 0);

    return s ? s : prepare_text(db, sql, 0, sql, err);
}

static struct db_stmt *prepare_rows(struct db *db, const char *insert, int columns, size_t rows,
                                    struct error *err)
{
    struct buf text = buf_new(0);
    struct db_stmt *s = find_prepared(db, insert, rows);

    if (s)
        return s;
    buf_fmt(&text, "%s VALUES", insert);
    for (size_t r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            buf_str(&text, c ? ",?" : r ? "),(?" : "(?");
    buf_str(&text, ")");
    s = prepare_text(db, insert, rows, buf_text(&text), err);
    buf_free(&text);
    return s;
}

bool db_insert(struct db *db, const char *insert, int columns, size_t n,
               void (*bind)(struct db_stmt *s, int at, size_t i, void *arg), void *arg,
               struct error *err)
{
    static const size_t sizes[] = {100, 10, 1}; /* rows of a statement */
    size_t done = 0;

    for (size_t k = 0; k < ARRAY_LEN(sizes); k++)
        while (n - done >= sizes[k]) {
            struct db_stmt *s = prepare_rows(db, insert, columns, sizes[k], err);

            for (size_t i = 0; s && i < sizes[k]; i++)
                bind(s, 1 + (int)i * columns, done + i, arg);
            if (!s || !db_run(s, err))
                return false;
            done += sizes[k];
        }
    return true;
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
    default: db_fail(s->db, err); return DB_FAILED;
    }
}

void db_reset(struct db_stmt *s)
{
    sqlite3_reset(s->handle);
    sqlite3_clear_bindings(s->handle);
}

static bool run(struct db_stmt *s, struct error *err)
{
    bool ok = !s->db->broken ? db_step(s, err) == DB_DONE : db_fail_broken(s->db, err);

    s->db->rowid = sqlite3_last_insert_rowid(s->db->handle);
    s->db->changes = sqlite3_changes(s->db->handle);
    db_reset(s);
    if (ok && s->db->depth == 0)
        db_note_success(s->db);
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
