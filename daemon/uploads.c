#include "daemon/uploads.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "daemon/audit.h"
#include "daemon/db.h"
#include "daemon/secret.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

static char *part_path(const struct daemon *d, const char *id)
{
    return str_fmt("%s/uploads/%s", d->state_dir, id);
}

static int64_t part_size(const struct daemon *d, const char *id)
{
    char *path = part_path(d, id);
    struct stat st;
    bool there = stat(path, &st) == 0;

    free(path);
    return there ? st.st_size : 0;
}

/* -- Rows -------------------------------------------------------------------------------------- */

#define COLUMNS "id, size, sha256, complete, created_ms, touched_ms"

static void read_upload(const struct daemon *d, struct db_stmt *q, struct upload *u)
{
    *u = (struct upload){.size = db_int(q, 1),
                         .complete = db_int(q, 3),
                         .created_ms = db_int(q, 4),
                         .touched_ms = db_int(q, 5)};
    snprintf(u->id, sizeof(u->id), "%s", db_text(q, 0));
    snprintf(u->sha256, sizeof(u->sha256), "%s", db_text(q, 2));
    u->have = u->complete ? u->size : part_size(d, u->id);
}

/* The row of a statement that has one at most. */
static enum db_result one_upload(const struct daemon *d, struct db_stmt *q, struct upload *u,
                                 struct error *err)
{
    enum db_result got = db_step(q, err);

    if (got == DB_ROW)
        read_upload(d, q, u);
    db_reset(q);
    return got;
}

bool upload_find(struct daemon *d, const char *id, struct upload *out, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(d->store), "SELECT " COLUMNS " FROM upload WHERE id=?", err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, id);
    got = one_upload(d, q, out, err);
    if (got == DB_DONE)
        err_set(err, ERR_NOT_FOUND, "there is no upload %.80s", id);
    return got == DB_ROW;
}

/* DB_DONE: there is none of that content. */
static enum db_result find_same(struct daemon *d, const char *sha256, int64_t size,
                                struct upload *out, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(d->store),
                                   "SELECT " COLUMNS " FROM upload WHERE sha256=? AND size=?", err);

    if (!q)
        return DB_FAILED;
    db_bind_text(q, 1, sha256);
    db_bind_int(q, 2, size);
    return one_upload(d, q, out, err);
}

static bool add(struct daemon *d, const struct upload *u, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(d->store),
                                   "INSERT INTO upload(" COLUMNS ") VALUES(?,?,?,?,?,?)", err);

    if (!q)
        return false;
    audit_subject(d, u->id);
    db_bind_text(q, 1, u->id);
    db_bind_int(q, 2, u->size);
    db_bind_text(q, 3, u->sha256);
    db_bind_int(q, 4, u->complete);
    db_bind_int(q, 5, u->created_ms);
    db_bind_int(q, 6, u->touched_ms);
    return db_run(q, err);
}

static bool update(struct daemon *d, const struct upload *u, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(d->store),
                   "UPDATE upload SET sha256=?2, complete=?3, touched_ms=?4 WHERE id=?1", err);

    if (!q)
        return false;
    db_bind_text(q, 1, u->id);
    db_bind_text(q, 2, u->sha256);
    db_bind_int(q, 3, u->complete);
    db_bind_int(q, 4, u->touched_ms);
    if (!db_run(q, err))
        return false;
    return db_changes(store_state(d->store)) == 1 ||
           err_set(err, ERR_NOT_FOUND, "the upload %s has been removed", u->id);
}

static bool forget(struct daemon *d, const char *id, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(d->store), "DELETE FROM upload WHERE id=?", err);

    if (!q)
        return false;
    db_bind_text(q, 1, id);
    return db_run(q, err);
}

bool upload_touch(struct daemon *d, struct upload *u, struct error *err)
{
    u->touched_ms = clock_wall_ms();
    return update(d, u, err);
}

bool upload_complete(struct daemon *d, struct upload *u, const struct blob *b, struct error *err)
{
    u->complete = true;
    memcpy(u->sha256, b->sha256, sizeof(u->sha256));
    return upload_touch(d, u, err);
}

bool upload_remove(struct daemon *d, const struct upload *u, struct error *err)
{
    char *path;

    if (!forget(d, u->id, err))
        return false;
    path = part_path(d, u->id);
    unlink(path);
    free(path);
    if (u->complete)
        blob_drop(d, u->sha256);
    return true;
}

/* -- Beginning one ----------------------------------------------------------------------------- */

/* What unfinished uploads still ask of the disk. */
static bool outstanding(struct daemon *d, int64_t *count, int64_t *bytes, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(d->store), "SELECT " COLUMNS " FROM upload WHERE NOT complete", err);
    enum db_result got = DB_FAILED;
    struct upload u;

    *count = *bytes = 0;
    while (q && (got = db_step(q, err)) == DB_ROW) {
        read_upload(d, q, &u);
        ++*count;
        *bytes += u.size - u.have;
    }
    if (q)
        db_reset(q);
    return got == DB_DONE;
}

static bool check_room(const struct daemon *d, int64_t size, int64_t promised, struct error *err)
{
    struct statvfs fs;
    int64_t room;

    if (statvfs(d->state_dir, &fs) != 0)
        return err_set(err, ERR_IO, "%s: %s", d->state_dir, strerror(errno));
    room = (int64_t)(fs.f_bavail * fs.f_frsize) - promised - UPLOAD_SPARE;
    return size <= room ||
           err_set(err, ERR_IO,
                   "%" PRId64 " bytes do not fit: the disk of the daemon has room for %" PRId64,
                   size, room > 0 ? room : 0);
}

static bool may_begin(struct daemon *d, int64_t size, struct error *err)
{
    int64_t count, promised;

    if (size > d->settings.upload_bytes)
        return err_set(err, ERR_TOO_LARGE,
                       "an upload may have at most %" PRId64 " bytes (--max-upload), not %" PRId64,
                       d->settings.upload_bytes, size);
    if (!outstanding(d, &count, &promised, err))
        return false;
    if (count >= UPLOADS_MAX)
        return err_set(err, ERR_CONFLICT, "there are %" PRId64 " unfinished uploads; at most %d",
                       count, UPLOADS_MAX);
    return check_room(d, size, promised, err);
}

bool upload_begin(struct daemon *d, int64_t size, const char *sha256, struct upload *out,
                  bool *fresh, struct error *err)
{
    enum db_result same = *sha256 ? find_same(d, sha256, size, out, err) : DB_DONE;

    *fresh = same == DB_DONE;
    if (same != DB_DONE)
        return same == DB_ROW;
    *out = (struct upload){.size = size, .created_ms = clock_wall_ms()};
    out->touched_ms = out->created_ms;
    secret_new("upl_", out->id);
    snprintf(out->sha256, sizeof(out->sha256), "%s", sha256);
    out->complete = *sha256 && blob_size(d, sha256) == size;
    out->have = out->complete ? size : 0;
    return (out->complete || may_begin(d, size, err)) && add(d, out, err);
}

bool upload_open_part(struct daemon *d, struct upload *u, struct file_writer *w, struct error *err)
{
    char *path = part_path(d, u->id);
    bool ok = file_writer_reopen(w, path, path, 0644, &u->have, err);

    free(path);
    return ok;
}

/* -- Cleaning up ------------------------------------------------------------------------------- */

bool uploads_open(struct daemon *d, struct error *err)
{
    char *folder = str_path(d->state_dir, "uploads"), *path;
    bool ok = file_make_dirs(folder, 0700, err);
    DIR *dir = ok ? opendir(folder) : NULL;
    struct upload u;
    struct error why;
    struct dirent *e;

    while (dir && (e = readdir(dir))) {
        if (e->d_name[0] == '.' || upload_find(d, e->d_name, &u, &why) || why.code != ERR_NOT_FOUND)
            continue;
        path = part_path(d, e->d_name);
        unlink(path);
        free(path);
    }
    if (dir)
        closedir(dir);
    free(folder);
    return ok;
}

/* One that has been given up. DB_DONE: there is none. */
static enum db_result find_old(struct daemon *d, struct upload *out, struct error *err)
{
    struct db_stmt *q = db_prepare(
        store_state(d->store), "SELECT " COLUMNS " FROM upload WHERE touched_ms < ? LIMIT 1", err);

    if (!q)
        return DB_FAILED;
    db_bind_int(q, 1, clock_wall_ms() - UPLOAD_HOURS * INT64_C(3600000));
    return one_upload(d, q, out, err);
}

void uploads_expire(struct daemon *d)
{
    struct error err = {0};
    struct upload u;

    while (find_old(d, &u, &err) == DB_ROW && upload_remove(d, &u, &err))
        log_info("an upload has expired upload=%s bytes=%" PRId64, u.id, u.have);
    if (err.code)
        log_warn("old uploads cannot be removed error=\"%s\"", err.msg);
}

struct json *upload_json(const struct upload *u)
{
    struct json *j = js_new_object();
    char text[CLOCK_TEXT];

    js_set(j, "id", js_new_string(u->id));
    js_set(j, "size_bytes", js_new_int(u->size));
    js_set(j, "offset", js_new_int(u->have));
    js_set(j, "complete", js_new_bool(u->complete));
    js_set(j, "sha256", *u->sha256 ? js_new_string(u->sha256) : js_new_null());
    js_set(j, "created_at", js_new_string(clock_text(u->created_ms, text)));
    js_set(j, "expires_at",
           js_new_string(clock_text(u->touched_ms + UPLOAD_HOURS * INT64_C(3600000), text)));
    return j;
}
