/* Copies of a file, and whether it is whole: on any thread, by connections of their own. */
#include "daemon/db_parts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/str.h"

enum {
    TRICKLE_BYTES = 2 << 20,
    TRICKLE_STEPS = 500 /* of SQLite's machine, between two looks at a copy: some hundred rows */
};

bool db_quick_check(struct db *db, struct error *err)
{
    sqlite3_stmt *s = NULL;
    const char *said = NULL;
    bool ok;

    if (sqlite3_prepare_v2(db->handle, "PRAGMA quick_check(1)", -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW)
        said = (const char *)sqlite3_column_text(s, 0);
    ok = said && strcmp(said, "ok") == 0;
    if (!ok)
        db_fail_damaged(db, said ? said : sqlite3_errmsg(db->handle), err);
    sqlite3_finalize(s);
    return ok;
}

bool db_check(const char *path, struct error *err)
{
    struct db db;
    bool ok = db_reader_init(&db, path, err) && db_quick_check(&db, err);

    db_reader_fini(&db);
    return ok;
}

/* A copy on its way to the disk. */
struct trickle {
    const char *path;
    int fd;
    off_t synced;
    bool failed;
    struct error *err;
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
    t->failed = !file_fsync(t->fd, t->path, t->err);
    t->synced = st.st_size;
    return t->failed;
}

static bool vacuum_into(struct db *db, const char *path, struct error *err)
{
    struct trickle t = {.path = path, .fd = -1, .err = err};
    sqlite3_stmt *s = NULL;
    bool ok;

    sqlite3_progress_handler(db->handle, TRICKLE_STEPS, trickle, &t);
    ok = sqlite3_prepare_v2(db->handle, "VACUUM INTO ?", -1, &s, NULL) == SQLITE_OK &&
         sqlite3_bind_text(s, 1, path, -1, SQLITE_STATIC) == SQLITE_OK &&
         sqlite3_step(s) == SQLITE_DONE;
    sqlite3_progress_handler(db->handle, 0, NULL, NULL);
    if (!ok && !t.failed)
        db_fail(db, err);
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
    db_create_private(tmp);
    ok = db_reader_init(&db, from, err) && vacuum_into(&db, tmp, err) &&
         put_in_place(tmp, path, err);
    db_reader_fini(&db);
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
        db_reader_init(&db, path, err) &&
        ((sqlite3_prepare_v2(db.handle, sql, -1, &s, NULL) == SQLITE_OK &&
          sqlite3_bind_int64(s, 1, parameter) == SQLITE_OK && sqlite3_step(s) == SQLITE_DONE) ||
         db_fail(&db, err));

    sqlite3_finalize(s);
    db_reader_fini(&db);
    return ok;
}
