/* Opening a file: its connections, its schema, and what becomes of a failure. */
#include "daemon/db_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "proto/base/str.h"

enum {
    BUSY_MS = 2000,
    BUSY_AGAIN_MS = 20, /* once it was busy, until it is not: all who ask wait on one thread */
    CHECKED_AT_OPEN = 64 << 20 /* bytes: a check reads all of the file */
};

/* -- Failures ------------------------------------------------------------------------------------------ */

static enum err_code code_of(int sqlite)
{
    static const struct {
        int sqlite;
        enum err_code code;
    } rows[] = {{SQLITE_NOTADB, ERR_DATA},
                {SQLITE_CORRUPT, ERR_DATA},
                {SQLITE_FULL, ERR_FULL},
                {SQLITE_BUSY, ERR_BUSY},
                {SQLITE_LOCKED, ERR_BUSY}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].sqlite == sqlite)
            return rows[i].code;
    return ERR_IO;
}

/* Linux may have dropped the pages that it could not write: another fsync would say that all is well. */
void db_note_failure(struct db *db, int extended, const char *how)
{
    snprintf(db->trouble, sizeof(db->trouble), "%s", how);
    if ((extended & 0xff) == SQLITE_BUSY)
        sqlite3_busy_timeout(db->handle, BUSY_AGAIN_MS);
    if (db->broken || (extended != SQLITE_IOERR_FSYNC && extended != SQLITE_IOERR_DIR_FSYNC))
        return;
    db->broken = true;
    if (db->on_broken)
        db->on_broken(db->on_broken_arg);
}

void db_note_success(struct db *db)
{
    if (!db->trouble[0])
        return;
    db->trouble[0] = '\0';
    sqlite3_busy_timeout(db->handle, BUSY_MS);
}

bool db_fail_damaged(const struct db *db, const char *how, struct error *err)
{
    return err_set(err, ERR_DATA,
                   "%s is damaged: %.300s (distilld --recover takes the newest copy that is whole)",
                   db->path, how);
}

bool db_fail(struct db *db, struct error *err)
{
    int code = sqlite3_extended_errcode(db->handle);

    db_note_failure(db, code, sqlite3_errmsg(db->handle));
    if (code_of(code & 0xff) == ERR_DATA)
        return db_fail_damaged(db, sqlite3_errmsg(db->handle), err);
    return err_set(err, code_of(code & 0xff), "%s: %s", db->path, sqlite3_errmsg(db->handle));
}

bool db_fail_broken(const struct db *db, struct error *err)
{
    return err_set(err, ERR_IO, "%s: the disk has failed to keep what was written; nothing more is",
                   db->path);
}

void db_on_broken(struct db *db, void (*fn)(void *arg), void *arg)
{
    db->on_broken = fn;
    db->on_broken_arg = arg;
}

const char *db_trouble(const struct db *db)
{
    return db->broken       ? "the disk has failed to keep what was written"
           : db->trouble[0] ? db->trouble
                            : NULL;
}

/* -- Connections --------------------------------------------------------------------------------------- */

/* SQLite counts its memory under a lock otherwise, for figures that nobody reads; and what it needs to undo a statement of
 * many rows it would write to a temporary file, which is one more thing that can be missing. */
static void configure(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, -1);
}

/* Only one thread at a time uses a handle: it needs no lock of its own. */
static bool open_handle(struct db *db, int flags, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, configure);
    pthread_mutex_init(&db->back.lock, NULL);
    flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(db->path, &db->handle, flags, NULL) != SQLITE_OK)
        return db_fail(db, err);
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    return true;
}

bool db_reader_init(struct db *db, const char *path, struct error *err)
{
    *db = (struct db){.path = str_dup(path)};
    return open_handle(db, 0, err);
}

void db_reader_fini(struct db *db)
{
    sqlite3_close(db->handle);
    pthread_mutex_destroy(&db->back.lock);
    free(db->path);
}

int db_sync_handle(sqlite3 *handle, int which)
{
    sqlite3_file *file = NULL;
    int code = sqlite3_file_control(handle, "main", which, &file);

    if (code == SQLITE_OK)
        code = file && file->pMethods ? file->pMethods->xSync(file, SQLITE_SYNC_NORMAL)
                                      : SQLITE_IOERR_FSYNC;
    return code;
}

bool db_exec(struct db *db, const char *sql, struct error *err)
{
    return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK || db_fail(db, err);
}

/* -- The schema ---------------------------------------------------------------------------------------- */

static bool read_version(struct db *db, int *out, struct error *err)
{
    sqlite3_stmt *s = NULL;
    bool ok = sqlite3_prepare_v2(db->handle, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK &&
              sqlite3_step(s) == SQLITE_ROW;

    if (ok)
        *out = sqlite3_column_int(s, 0);
    else
        db_fail(db, err);
    sqlite3_finalize(s);
    return ok;
}

/* All steps become durable together. */
static bool run_scripts(struct db *db, const struct db_schema *schema, int at, struct error *err)
{
    if (at == 0 && schema->whole && schema->whole_of <= schema->version) {
        if (!db_exec(db, schema->whole, err))
            return err_wrap(err, "schema version %d", schema->whole_of);
        at = schema->whole_of;
    }
    for (; at < schema->version; at++)
        if (!db_exec(db, schema->scripts[at], err))
            return err_wrap(err, "schema version %d", at + 1);
    return true;
}

static bool set_version(struct db *db, int version, struct error *err)
{
    char *sql = str_fmt("PRAGMA user_version=%d", version);
    bool ok = db_exec(db, sql, err);

    free(sql);
    return ok;
}

static bool keep_copy(const struct db *db, int version, struct error *err)
{
    char *copy = str_fmt("%s.before-%d", db->path, version);
    bool ok = db_copy(db->path, copy, err);

    free(copy);
    return ok || err_wrap(err, "a copy before the change to a new schema");
}

static bool migrate(struct db *db, const struct db_schema *schema, struct error *err)
{
    int at = 0;

    if (!read_version(db, &at, err))
        return false;
    if (at > schema->version)
        return err_set(err, ERR_DATA,
                       "%s was written by a newer distilld (schema %d, this one knows %d)",
                       db->path, at, schema->version);
    if (at == schema->version)
        return true;
    if ((at && !keep_copy(db, at, err)) || !db_begin(db, err))
        return false;
    if (run_scripts(db, schema, at, err) && set_version(db, schema->version, err) &&
        db_commit(db, err))
        return true;
    db_rollback(db);
    return false;
}

/* -- Opening ------------------------------------------------------------------------------------------- */

/* A large file is looked at while the daemon runs (store.c). */
static bool check_small(struct db *db, struct error *err)
{
    struct stat st;

    return stat(db->path, &st) != 0 || st.st_size > CHECKED_AT_OPEN || db_quick_check(db, err);
}

static bool is_new(const char *path)
{
    struct stat st;

    return stat(path, &st) != 0 || st.st_size == 0;
}

void db_create_private(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd); /* of one that is open already it would drop SQLite's locks */
}

/* One from a time when others could read it. */
static void make_private(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    struct stat st;

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char *file = str_fmt("%s%s", path, suffixes[i]);

        if (stat(file, &st) == 0 && (st.st_mode & 077) && chmod(file, 0600) != 0)
            log_warn("others can read what is for the daemon alone file=%s error=\"%s\"", file,
                     strerror(errno));
        free(file);
    }
}

static bool sync_file(struct db *db, int which, struct error *err)
{
    return db_sync_handle(db->handle, which) == SQLITE_OK ||
           err_set(err, ERR_IO, "%s: the disk has failed to keep what was written", db->path);
}

/* A new file is made without waiting for the disk at each step, of which there are half a dozen: it holds nothing yet,
 * and what a power cut leaves of it is as good as none. Before it is used it is on disk; its name gets there with the
 * log. */
static bool settle(struct db *db, enum db_sync sync, struct error *err)
{
    return sync_file(db, SQLITE_FCNTL_FILE_POINTER, err) &&
           (sync != DB_SYNC_FULL || sync_file(db, SQLITE_FCNTL_JOURNAL_POINTER, err));
}

static bool set_sync(struct db *db, enum db_sync sync, struct error *err)
{
    return db_exec(
        db, sync == DB_SYNC_FULL ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", err);
}

/* Twice SQLite's default, which a file keeps that was made with it: a thousand jobs are half as many pages, each of
 * which costs four calls of the kernel on its way through the log. */
#define NEW_FILE "PRAGMA synchronous=OFF; PRAGMA page_size=8192"

static bool prepare(struct db *db, enum db_sync sync, const struct db_schema *schema, bool new,
                    struct error *err)
{
    return (new ? db_exec(db, NEW_FILE, err) : set_sync(db, sync, err)) &&
           db_exec(db, "PRAGMA journal_mode=WAL", err) &&
           db_exec(db, "PRAGMA foreign_keys=ON", err) && (new || check_small(db, err)) &&
           migrate(db, schema, err) && (!new || (settle(db, sync, err) && set_sync(db, sync, err)));
}

struct db *db_open(const char *path, enum db_sync sync, const struct db_schema *schema,
                   struct error *err)
{
    struct db *db = NEW(struct db);
    const bool new = is_new(path);
    bool ok = false;

    db->path = str_dup(path);
    db_create_private(path);
    if (open_handle(db, SQLITE_OPEN_CREATE, err)) {
        make_private(path); /* before a log is made, which gets the same mode */
        ok = prepare(db, sync, schema, new, err);
    }
    if (ok) {
        sqlite3_wal_hook(db->handle, db_on_wal, db);
        db_note_success(db);
        return db;
    }
    db_close(db);
    return NULL;
}

struct db *db_open_reader(const char *path, struct error *err)
{
    struct db *db = NEW(struct db);

    if (db_reader_init(db, path, err))
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
    sqlite3_close(db->back.handle);
    pthread_mutex_destroy(&db->back.lock);
    sqlite3_close(db->handle);
    free(db->path);
    free(db);
}
