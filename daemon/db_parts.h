/* What the files db*.c share: the only ones that know SQLite. */
#ifndef DAEMON_DB_PARTS_H
#define DAEMON_DB_PARTS_H

#include <pthread.h>
#include <sqlite3.h>

#include "daemon/db.h"
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
    int log_pages, written_back; /* so many of its pages are in the file, too */
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

/* -- db.c: what becomes of a failure, and connections --------------------------------------------------- */

/* False, with what SQLite says of the connection's last call, which db_trouble then has, too. */
bool db_fail(struct db *db, struct error *err);
bool db_fail_broken(const struct db *db, struct error *err);
/* An empty file that only its owner can read, if there is none: webhooks' keys will stand in it. */
void db_create_private(const char *path);
bool db_fail_damaged(const struct db *db, const char *how, struct error *err);
void db_note_failure(struct db *db, int extended, const char *how);
void db_note_success(struct db *db);

bool db_exec(struct db *db, const char *sql, struct error *err);
/* which: SQLITE_FCNTL_.._POINTER. The extended code. By SQLite's own descriptor: to close another one would release its
 * locks. */
int db_sync_handle(sqlite3 *handle, int which);

/* A connection to what is there already, for the calling thread; it is to be ended also where it did not begin. */
bool db_reader_init(struct db *db, const char *path, struct error *err);
void db_reader_fini(struct db *db);

/* -- db_copy.c ------------------------------------------------------------------------------------------ */

bool db_quick_check(struct db *db, struct error *err);

/* -- db_log.c ------------------------------------------------------------------------------------------- */

/* After each commit, as SQLite's hook. */
int db_on_wal(void *db, sqlite3 *handle, const char *name, int pages);

#endif
