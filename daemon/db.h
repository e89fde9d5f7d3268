/* SQLite, as much of it as the daemon uses. Only the files db*.c know it. Loop thread only, unless it says otherwise.
 *
 * A statement is prepared once for each SQL literal and found again by its address. */
#ifndef DAEMON_DB_H
#define DAEMON_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/histogram.h"
#include "proto/base/error.h"

struct db;
struct db_stmt;

enum db_sync {
    DB_SYNC_NORMAL, /* survives the death of the process; a power cut may take the newest commits */
    DB_SYNC_FULL    /* a commit that returned is on disk */
};

struct db_schema {
    const char *const *scripts; /* number k (counted from 1) leads from version k-1 to k */
    int version;                /* so many there are */
    const char *whole;          /* what the first `whole_of` of them make of an empty file; NULL */
    int whole_of;
};

/* Opens or makes the file and brings its schema up to date, in one transaction; the file records where it is. Before a
 * file that holds something is changed so, a copy of it is made, PATH.before-N of schema N. A file from a newer program,
 * or one that is damaged, is refused with ERR_DATA. Only its owner can read it, and copies of it. */
struct db *db_open(const char *path, enum db_sync sync, const struct db_schema *schema,
                   struct error *err);
/* Only for reading, what is committed of a file that is open as above already. Any thread, which then is the only one
 * that uses it. */
struct db *db_open_reader(const char *path, struct error *err);
void db_close(struct db *db); /* NULL is fine */

/* Transactions nest: only the outermost commit counts, and any rollback undoes all of it. */
bool db_begin(struct db *db, struct error *err);
bool db_commit(struct db *db, struct error *err); /* rolls back when it fails */
/* When the disk has refused to keep what was written (fsync), nobody knows what is on it: nothing more is written
 * then, and this is called, once. */
void db_on_broken(struct db *db, void (*fn)(void *arg), void *arg);
/* Commits go into a log, whose pages have to be written back into the file. Where nobody asks to be told, a commit does
 * that when there are enough of them; else fn is called, and sees to it that db_write_back is, on any thread, and
 * db_written_back when it has returned. */
void db_on_long_log(struct db *db, void (*fn)(void *arg, struct db *db), void *arg);
void db_write_back(struct db *db);
void db_written_back(struct db *db);
/* Why the last write failed; NULL when it did not. */
const char *db_trouble(const struct db *db);
/* A copy of all that is committed, whole and on disk under `path`, which is replaced. Any thread, by a connection of
 * its own. */
bool db_copy(const char *from, const char *path, struct error *err);
/* One statement with one parameter, by a connection of its own. */
bool db_change(const char *path, const char *sql, int64_t parameter, struct error *err);
/* ERR_DATA with what is wrong first. Any thread. */
bool db_check(const char *path, struct error *err);
void db_rollback(struct db *db);
/* A part of a transaction that can be undone by itself. Parts do not nest. */
bool db_part_begin(struct db *db, struct error *err);
bool db_part_end(struct db *db, struct error *err);
void db_part_undo(struct db *db);
/* False when a statement that failed has ended the transaction, and undone all of it: no room does that. */
bool db_in_transaction(const struct db *db);
/* Called within each transaction of the outermost level, and each lone statement that changes something, before its
 * commit: what it writes becomes durable together with that. False undoes all of it. */
void db_before_commit(struct db *db, bool (*fn)(void *arg, struct error *err), void *arg);
/* How long outermost commits took, since it was opened. */
const struct histogram *db_commit_seconds(const struct db *db);

/* sql: a literal. NULL with err only if the database is unusable. */
struct db_stmt *db_prepare(struct db *db, const char *sql, struct error *err);
/* Parameters count from 1; one that the statement does not have is passed over. A NULL text binds NULL. Texts live until
 * db_reset. */
void db_bind_int(struct db_stmt *s, int at, int64_t v);
void db_bind_real(struct db_stmt *s, int at, double v); /* NaN binds NULL */
void db_bind_text(struct db_stmt *s, int at, const char *v);

/* Adds n rows, many by one statement, which takes half the time of as many statements. insert: a literal, as "INSERT INTO
 * t(a, b)"; bind gives the values of row i to the `columns` parameters from `at` on. Their rowids, where SQLite gives them,
 * follow each other. Belongs into a transaction: an error leaves the rows of earlier statements. */
bool db_insert(struct db *db, const char *insert, int columns, size_t n,
               void (*bind)(struct db_stmt *s, int at, size_t i, void *arg), void *arg,
               struct error *err);

enum db_result {
    DB_ROW,
    DB_DONE,
    DB_FAILED
};
enum db_result db_step(struct db_stmt *s, struct error *err);
void db_reset(struct db_stmt *s);
/* One step that gives no row, and reset. */
bool db_run(struct db_stmt *s, struct error *err);

/* Columns count from 0. Texts live until the next step; never NULL. */
int64_t db_int(struct db_stmt *s, int at);
double db_real(struct db_stmt *s, int at); /* NULL reads as NaN */
const char *db_text(struct db_stmt *s, int at);
bool db_is_null(struct db_stmt *s, int at);

int64_t db_last_rowid(struct db *db);
int64_t db_changes(struct db *db); /* rows of the last statement */
int64_t db_total_changes(
    struct db *db); /* of all since it was opened, also of those that were undone */

#endif
