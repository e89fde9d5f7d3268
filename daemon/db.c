#include "daemon/db.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"

struct db_stmt {
    struct db *db;
    const char *sql;
    size_t rows; /* that it adds, of db_insert; 0: it is not of that */
    sqlite3_stmt *handle;
};

struct db {
    sqlite3 *handle;
    char *path;
    VEC(struct db_stmt *) stmts;
    int depth; /* of transactions */
    struct histogram commits;
    char trouble[200]; /* "": the last write went well */
    bool broken;
    void (*on_broken)(void *arg);
    void *on_broken_arg;
    void (*on_long_log)(void *arg, struct db *db);
    void *on_long_log_arg;
    int log_pages, written_back; /* so many of them are in the file, too */
    struct {
        bool going; /* a round of the other thread, to which belongs, while it is at it: */
        pthread_mutex_t lock; /* who writes back */
        bool taken;           /* by the loop's thread, before or behind it */
        sqlite3 *handle;
        int code, pages;
    } back;
    bool (*before_commit)(void *arg, struct error *err);
    void *before_arg;
    int64_t rowid, changes; /* of the last statement but those of before_commit */
};

enum {
    BUSY_MS = 2000,
    BUSY_AGAIN_MS = 20, /* once it was busy, until it is not: all who ask wait on one thread */
    /* So many are worth writing back. Few, because commits wait for the disk meanwhile: each a little is better than a few
     * long. */
    LOG_PAGES = 100,
    /* Under a load that never rests others follow while they are, and the log cannot begin anew: of one that is so long
     * the loop's thread writes back the last few itself, */
    LOG_PAGES_LONG = 1000,
    LOG_PAGES_LAST = 250,
    LOG_PAGES_MAX = 4000,       /* and of one as long as this all: it waits for the disk then */
    CHECKED_AT_OPEN = 64 << 20, /* bytes: a check reads all of the file */
    TRICKLE_BYTES = 2 << 20,
    TRICKLE_STEPS = 5000 /* of SQLite's machine, between two looks at a copy */
};

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
static void note_failure(struct db *db, int extended, const char *how)
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

static void note_success(struct db *db)
{
    if (!db->trouble[0])
        return;
    db->trouble[0] = '\0';
    sqlite3_busy_timeout(db->handle, BUSY_MS);
}

static bool fail_damaged(const struct db *db, const char *how, struct error *err)
{
    return err_set(err, ERR_DATA,
                   "%s is damaged: %.300s (distilld --recover takes the newest copy that is whole)",
                   db->path, how);
}

static bool fail(struct db *db, struct error *err)
{
    int code = sqlite3_extended_errcode(db->handle);

    note_failure(db, code, sqlite3_errmsg(db->handle));
    if (code_of(code & 0xff) == ERR_DATA)
        return fail_damaged(db, sqlite3_errmsg(db->handle), err);
    return err_set(err, code_of(code & 0xff), "%s: %s", db->path, sqlite3_errmsg(db->handle));
}

static bool fail_broken(const struct db *db, struct error *err)
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

/* All steps become durable together. */
static bool run_scripts(struct db *db, const struct db_schema *schema, int at, struct error *err)
{
    if (at == 0 && schema->whole && schema->whole_of <= schema->version) {
        if (!exec(db, schema->whole, err))
            return err_wrap(err, "schema version %d", schema->whole_of);
        at = schema->whole_of;
    }
    for (; at < schema->version; at++)
        if (!exec(db, schema->scripts[at], err))
            return err_wrap(err, "schema version %d", at + 1);
    return true;
}

static bool set_version(struct db *db, int version, struct error *err)
{
    char *sql = str_fmt("PRAGMA user_version=%d", version);
    bool ok = exec(db, sql, err);

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

/* -- Looking at a file, and copying it --------------------------------------------------------------- */

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
        return fail(db, err);
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    return true;
}

static bool open_reader(struct db *db, const char *path, struct error *err)
{
    *db = (struct db){.path = str_dup(path)};
    return open_handle(db, 0, err);
}

static void close_reader(struct db *db)
{
    sqlite3_close(db->handle);
    pthread_mutex_destroy(&db->back.lock);
    free(db->path);
}

static bool quick_check(struct db *db, struct error *err)
{
    sqlite3_stmt *s = NULL;
    const char *said = NULL;
    bool ok;

    if (sqlite3_prepare_v2(db->handle, "PRAGMA quick_check(1)", -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW)
        said = (const char *)sqlite3_column_text(s, 0);
    ok = said && strcmp(said, "ok") == 0;
    if (!ok)
        fail_damaged(db, said ? said : sqlite3_errmsg(db->handle), err);
    sqlite3_finalize(s);
    return ok;
}

bool db_check(const char *path, struct error *err)
{
    struct db db;
    bool ok = open_reader(&db, path, err) && quick_check(&db, err);

    close_reader(&db);
    return ok;
}

/* A copy on its way to the disk. */
struct trickle {
    const char *path;
    int fd, code; /* code: why it cannot be kept, an errno; 0: it can */
    off_t synced;
};

/* A little at a time: a large one all at once at the end would keep commits waiting for as long as that takes. Not 0: the
 * copy is given up. */
static int trickle(void *arg)
{
    struct trickle *t = arg;
    struct stat st;

    if (t->fd < 0)
        t->fd = open(t->path, O_RDONLY | O_CLOEXEC);
    if (t->fd < 0 || fstat(t->fd, &st) != 0 || st.st_size - t->synced < TRICKLE_BYTES)
        return 0;
    t->code = fdatasync(t->fd) == 0 ? 0 : errno;
    t->synced = st.st_size;
    return t->code;
}

static bool vacuum_into(struct db *db, const char *path, struct error *err)
{
    struct trickle t = {.path = path, .fd = -1};
    sqlite3_stmt *s = NULL;
    bool ok;

    sqlite3_progress_handler(db->handle, TRICKLE_STEPS, trickle, &t);
    ok = sqlite3_prepare_v2(db->handle, "VACUUM INTO ?", -1, &s, NULL) == SQLITE_OK &&
         sqlite3_bind_text(s, 1, path, -1, SQLITE_STATIC) == SQLITE_OK &&
         sqlite3_step(s) == SQLITE_DONE;
    sqlite3_progress_handler(db->handle, 0, NULL, NULL);
    if (!ok && t.code)
        err_set(err, ERR_IO, "%s: %s", path, strerror(t.code));
    else if (!ok)
        fail(db, err);
    sqlite3_finalize(s);
    if (t.fd >= 0)
        close(t.fd);
    return ok;
}

/* On disk, and in the place of what is there. */
static bool put_in_place(const char *tmp, const char *path, struct error *err)
{
    struct file_writer w;
    int64_t len;

    return file_writer_reopen(&w, path, tmp, 0600, &len, err) && file_writer_commit(&w, err);
}

bool db_copy(const char *from, const char *path, struct error *err)
{
    char *tmp = str_fmt("%s.tmp", path);
    struct db db;
    bool ok;

    unlink(tmp); /* of a copy that was cut short */
    ok = open_reader(&db, from, err) && vacuum_into(&db, tmp, err) && put_in_place(tmp, path, err);
    close_reader(&db);
    if (!ok)
        unlink(tmp);
    free(tmp);
    return ok;
}

bool db_change(const char *path, const char *sql, int64_t parameter, struct error *err)
{
    sqlite3_stmt *s = NULL;
    struct db db;
    bool ok =
        open_reader(&db, path, err) &&
        ((sqlite3_prepare_v2(db.handle, sql, -1, &s, NULL) == SQLITE_OK &&
          sqlite3_bind_int64(s, 1, parameter) == SQLITE_OK && sqlite3_step(s) == SQLITE_DONE) ||
         fail(&db, err));

    sqlite3_finalize(s);
    close_reader(&db);
    return ok;
}

/* -- Opening ----------------------------------------------------------------------------------------- */

static int sync_handle(sqlite3 *handle, int which)
{
    sqlite3_file *file = NULL;
    int code = sqlite3_file_control(handle, "main", which, &file);

    if (code == SQLITE_OK)
        code = file && file->pMethods ? file->pMethods->xSync(file, SQLITE_SYNC_NORMAL)
                                      : SQLITE_IOERR_FSYNC;
    return code;
}

/* The extended code. At most one thread does this at a time, and none begins what another one has just ended: SQLite before
 * 3.51.3 can lose commits where the log begins anew meanwhile (its "WAL-reset bug"). */
static int write_back(sqlite3 *handle, int *pages)
{
    int log;

    if (sqlite3_wal_checkpoint_v2(handle, "main", SQLITE_CHECKPOINT_PASSIVE, &log, pages) !=
        SQLITE_OK)
        return sqlite3_extended_errcode(handle);
    /* SQLite leaves that to the one that comes to the end of the log. */
    return *pages < log ? sync_handle(handle, SQLITE_FCNTL_FILE_POINTER) : SQLITE_OK;
}

static void write_back_here(struct db *db)
{
    int pages = 0, code;

    pthread_mutex_lock(&db->back.lock);
    db->back.taken = true;
    code = write_back(db->handle, &pages);
    pthread_mutex_unlock(&db->back.lock);
    if (code == SQLITE_OK)
        db->written_back = pages;
    else if ((code & 0xff) != SQLITE_BUSY)
        note_failure(db, code, sqlite3_errstr(code));
}

/* Takes the place of SQLite's own, which hides that a sync has failed. */
static int on_wal(void *arg, sqlite3 *handle, const char *name, int pages)
{
    struct db *db = arg;

    (void)handle;
    (void)name;
    db->log_pages = pages;
    if (pages < db->written_back) /* it has begun anew */
        db->written_back = 0;
    if (db->broken || pages - db->written_back < LOG_PAGES)
        return SQLITE_OK;
    if (!db->on_long_log || pages >= LOG_PAGES_MAX) {
        write_back_here(db);
    } else if (!db->back.going) {
        db->back.going = true;
        db->back.taken = false;
        db->back.code = SQLITE_OK;
        db->on_long_log(db->on_long_log_arg, db);
    }
    return SQLITE_OK;
}

void db_on_long_log(struct db *db, void (*fn)(void *arg, struct db *db), void *arg)
{
    db->on_long_log = fn;
    db->on_long_log_arg = arg;
}

/* One that cannot be opened, for want of descriptors, is good for nothing later, either. */
static int fail_back(struct db *db, int code)
{
    if (code == SQLITE_OK)
        return code;
    sqlite3_close(db->back.handle);
    db->back.handle = NULL;
    return code;
}

/* A handle that has read nothing does not know that there is a log. */
static int open_back(struct db *db)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX;
    int code;

    if (db->back.handle)
        return SQLITE_OK;
    code = sqlite3_open_v2(db->path, &db->back.handle, flags, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db->back.handle, "PRAGMA schema_version", NULL, NULL, NULL);
    return fail_back(db, code);
}

void db_write_back(struct db *db)
{
    pthread_mutex_lock(&db->back.lock);
    if (!db->back.taken) {
        db->back.code = open_back(db);
        if (db->back.code == SQLITE_OK)
            db->back.code = fail_back(db, write_back(db->back.handle, &db->back.pages));
    }
    pthread_mutex_unlock(&db->back.lock);
}

void db_written_back(struct db *db)
{
    const int left = db->log_pages - db->back.pages;

    db->back.going = false;
    if (db->back.code != SQLITE_OK) {
        if ((db->back.code & 0xff) != SQLITE_BUSY)
            note_failure(db, db->back.code, sqlite3_errstr(db->back.code));
        return;
    }
    if (db->back.taken)
        return;
    db->written_back = db->back.pages;
    if (db->log_pages >= LOG_PAGES_LONG && left > 0 && left < LOG_PAGES_LAST && !db->broken)
        write_back_here(db);
}

/* A large file is looked at while the daemon runs (store.c). */
static bool check_small(struct db *db, struct error *err)
{
    struct stat st;

    return stat(db->path, &st) != 0 || st.st_size > CHECKED_AT_OPEN || quick_check(db, err);
}

static bool is_new(const char *path)
{
    struct stat st;

    return stat(path, &st) != 0 || st.st_size == 0;
}

/* By SQLite's own descriptor: to close another one would release its locks. */
static bool sync_file(struct db *db, int which, struct error *err)
{
    return sync_handle(db->handle, which) == SQLITE_OK ||
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
    return exec(db, sync == DB_SYNC_FULL ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
                err);
}

/* Twice SQLite's default, which a file keeps that was made with it: a thousand jobs are half as many pages, each of
 * which costs four calls of the kernel on its way through the log. */
#define NEW_FILE "PRAGMA synchronous=OFF; PRAGMA page_size=8192"

static bool prepare(struct db *db, enum db_sync sync, const struct db_schema *schema, bool new,
                    struct error *err)
{
    return (new ? exec(db, NEW_FILE, err) : set_sync(db, sync, err)) &&
           exec(db, "PRAGMA journal_mode=WAL", err) && exec(db, "PRAGMA foreign_keys=ON", err) &&
           (new || check_small(db, err)) && migrate(db, schema, err) &&
           (!new || (settle(db, sync, err) && set_sync(db, sync, err)));
}

struct db *db_open(const char *path, enum db_sync sync, const struct db_schema *schema,
                   struct error *err)
{
    struct db *db = NEW(struct db);
    const bool new = is_new(path);

    db->path = str_dup(path);
    if (open_handle(db, SQLITE_OPEN_CREATE, err) && prepare(db, sync, schema, new, err)) {
        sqlite3_wal_hook(db->handle, on_wal, db);
        note_success(db);
        return db;
    }
    db_close(db);
    return NULL;
}

struct db *db_open_reader(const char *path, struct error *err)
{
    struct db *db = NEW(struct db);

    if (open_reader(db, path, err))
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
        return fail_broken(db, err);
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
        note_success(db);
        return true;
    }
    db_rollback(db);
    return false;
}

/* text: the whole of it, of which sql and rows are the name. */
static struct db_stmt *prepare_text(struct db *db, const char *sql, size_t rows, const char *text,
                                    struct error *err)
{
    struct db_stmt *s = NEW(struct db_stmt);

    *s = (struct db_stmt){.db = db, .sql = sql, .rows = rows};
    if (sqlite3_prepare_v3(db->handle, text, -1, SQLITE_PREPARE_PERSISTENT, &s->handle, NULL) !=
        SQLITE_OK) {
        fail(db, err);
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
    bool ok = !s->db->broken ? db_step(s, err) == DB_DONE : fail_broken(s->db, err);

    s->db->rowid = sqlite3_last_insert_rowid(s->db->handle);
    s->db->changes = sqlite3_changes(s->db->handle);
    db_reset(s);
    if (ok && s->db->depth == 0)
        note_success(s->db);
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
