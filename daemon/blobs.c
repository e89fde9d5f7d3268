#include "daemon/blobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/db.h"
#include "daemon/uploads.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

enum {
    BLOCK = 1 << 20
};

bool blob_is_name(const char *text)
{
    return strlen(text) == SHA256_HEX - 1 && strspn(text, "0123456789abcdef") == SHA256_HEX - 1;
}

char *blob_folder(const struct daemon *d)
{
    return str_path(d->state_dir, "blobs");
}

char *blob_path(const struct daemon *d, const char *sha256)
{
    return str_fmt("%s/blobs/%s", d->state_dir, sha256);
}

int64_t blob_size(const struct daemon *d, const char *sha256)
{
    char *path = blob_path(d, sha256);
    struct stat st;
    bool there = stat(path, &st) == 0 && S_ISREG(st.st_mode);

    free(path);
    return there ? st.st_size : -1;
}

/* -- Making them ------------------------------------------------------------------------------- */

/* Reads all of the file for its hash, and into `to` unless that is NULL. */
static bool digest(int fd, struct file_writer *to, struct blob *out, struct error *err)
{
    char *block = mem_calloc(BLOCK, 1);
    struct sha256 *sum = sha256_new();
    bool ok = true;
    ssize_t n;

    out->size = 0;
    while (ok && (n = pread(fd, block, BLOCK, out->size)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        ok = n > 0 ? !to || file_writer_add(to, block, (size_t)n, err)
                   : err_set(err, ERR_IO, "reading for the hash: %s", strerror(errno));
        if (ok) {
            sha256_add(sum, block, (size_t)n);
            out->size += n;
        }
    }
    sha256_end(sum, out->sha256);
    free(block);
    return ok;
}

/* The second reading decides: its bytes are those that are kept. */
static bool copy_to(const char *path, int fd, const struct blob *b, struct error *err)
{
    struct file_writer w;
    struct blob copied;
    bool ok = file_writer_open(&w, path, 0644, err);

    if (!ok)
        return false;
    ok = digest(fd, &w, &copied, err) &&
         (strcmp(copied.sha256, b->sha256) == 0 ||
          err_set(err, ERR_CONFLICT, "the file changes while it is read"));
    if (ok)
        return file_writer_commit(&w, err);
    file_writer_abandon(&w);
    return false;
}

bool blob_copy(const char *folder, int fd, struct blob *out, struct error *err)
{
    char *path;
    bool ok;

    if (!digest(fd, NULL, out, err))
        return false;
    path = str_path(folder, out->sha256);
    ok = file_exists(path) || copy_to(path, fd, out, err);
    free(path);
    return ok;
}

bool blob_adopt(const char *folder, struct file_writer *w, const char *want, struct blob *out,
                struct error *err)
{
    int fd = open(w->tmp, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 ? digest(fd, NULL, out, err)
                      : err_set(err, ERR_IO, "open %s: %s", w->tmp, strerror(errno));

    if (fd >= 0)
        close(fd);
    if (!ok) {
        file_writer_keep(w);
        return false;
    }
    if (*want && strcmp(want, out->sha256) != 0) {
        file_writer_abandon(w);
        return err_set(err, ERR_DATA, "the bytes have the sha256 %s, not %s", out->sha256, want);
    }
    free(w->path);
    w->path = str_path(folder, out->sha256);
    return file_writer_commit(w, err);
}

/* -- Removing them ----------------------------------------------------------------------------- */

/* In doubt they stay. */
static bool is_used(struct daemon *d, const char *sha256)
{
    struct db_stmt *q = db_prepare(store_state(d->store),
                                   "SELECT 1 FROM model WHERE sha256=?1 UNION ALL"
                                   " SELECT 1 FROM upload WHERE sha256=?1 AND complete LIMIT 1",
                                   NULL);
    bool used = true;

    if (!q)
        return true;
    db_bind_text(q, 1, sha256);
    used = db_step(q, NULL) != DB_DONE;
    db_reset(q);
    return used;
}

static void drop(struct daemon *d, const char *name)
{
    char *path = blob_path(d, name);

    if (unlink(path) == 0)
        log_info("nobody refers to a file; it is removed path=%s", path);
    free(path);
}

void blob_drop(struct daemon *d, const char *sha256)
{
    if (blob_is_name(sha256) && !is_used(d, sha256))
        drop(d, sha256);
}

static bool collect(struct daemon *d, const char *folder, struct error *err)
{
    DIR *dir = opendir(folder);
    struct dirent *e;

    if (!dir)
        return err_set(err, ERR_IO, "%s: %s", folder, strerror(errno));
    while ((e = readdir(dir)))
        if (e->d_name[0] != '.' && (!blob_is_name(e->d_name) || !is_used(d, e->d_name)))
            drop(d, e->d_name);
    closedir(dir);
    return true;
}

bool blobs_open(struct daemon *d, struct error *err)
{
    char *folder = blob_folder(d);
    bool ok = file_make_dirs(folder, 0700, err) && uploads_open(d, err) && collect(d, folder, err);

    free(folder);
    return ok || err_wrap(err, "files of the registry");
}
