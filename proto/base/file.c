#define _GNU_SOURCE
#include "proto/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/beneath.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"

/* The fault seam: one counter for each kind of operation. */
enum io_op {
    IO_OPEN,
    IO_WRITE,
    IO_FSYNC,
    IO_RENAME,
    IO_OP_COUNT
};

static const char *const io_names[IO_OP_COUNT] = {"open", "write", "fsync", "rename"};
static atomic_int io_calls[IO_OP_COUNT];

struct io_fault {
    enum io_op op;
    int nth;
    bool on; /* the later ones too */
};

static bool parse_fault(const char *spec, struct io_fault *f)
{
    char name[16];
    int end = 0, plus = 0;

    if (sscanf(spec, "io:%15[a-z]:%d%n+%n", name, &f->nth, &end, &plus) != 2 || f->nth < 1 ||
        spec[plus ? plus : end])
        return false;
    f->on = plus != 0;
    for (f->op = 0; f->op < IO_OP_COUNT; f->op++)
        if (strcmp(name, io_names[f->op]) == 0)
            return true;
    return false;
}

bool file_is_fault(const char *spec)
{
    struct io_fault f;

    return parse_fault(spec, &f);
}

static bool fault(enum io_op op)
{
    const char *spec = getenv("DISTILLD_FAULT");
    int call = atomic_fetch_add(&io_calls[op], 1) + 1;
    struct io_fault f;

    if (!spec || !parse_fault(spec, &f) || f.op != op)
        return false;
    if (call != f.nth && !(f.on && call > f.nth))
        return false;
    errno = EIO;
    return true;
}

static void (*the_fence)(void);

void file_set_fence(void (*fence)(void))
{
    the_fence = fence;
}

void file_fence(void)
{
    if (the_fence)
        the_fence();
}

static enum err_code code_of_errno(void)
{
    return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
}

/* -- Where reading stays ----------------------------------------------------------------------------- */

static struct {
    VEC(char *) at;
    char *list; /* as it was given */
} roots;

void file_set_roots(const char *list)
{
    for (size_t i = 0; i < roots.at.n; i++)
        free(roots.at.at[i]);
    vec_free(&roots.at);
    free(roots.list);
    roots.list = list ? str_dup(list) : NULL;
    for (size_t len; list && *list; list += len + (list[len] == ':')) {
        len = strcspn(list, ":");
        if (len)
            vec_push(&roots.at, str_ndup(list, len));
    }
}

/* NULL: it lies in none. */
static const char *root_of(const char *path)
{
    for (size_t i = 0; i < roots.at.n; i++)
        if (beneath_rest(roots.at.at[i], path))
            return roots.at.at[i];
    return NULL;
}

bool file_in_roots(const char *path, struct error *err)
{
    return !roots.at.n || root_of(path) ||
           err_set(err, ERR_INVALID, "must lie in one of the folders %s, got %s", roots.list, path);
}

static bool explain(const char *path, const char *root, const struct error *why, struct error *err)
{
    switch (why->code) {
    case ERR_FORBIDDEN:
        return err_set(err, why->code, "open %s: a symbolic link or `..` leads out of %s", path,
                       root);
    case ERR_NOT_FOUND: return err_set(err, why->code, "open %s: %s", path, strerror(ENOENT));
    default: return err_set(err, why->code, "%s: %s", root, why->msg);
    }
}

static int open_below(const char *root, const char *path, int flags, struct error *err)
{
    int folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd;
    struct error why;

    if (folder < 0) {
        err_set(err, code_of_errno(), "open %s: %s", root, strerror(errno));
        return -1;
    }
    fd = beneath_open(folder, beneath_rest(root, path), flags, &why);
    close(folder);
    if (fd < 0)
        explain(path, root, &why, err);
    return fd;
}

static int open_for(const char *path, int flags, struct error *err)
{
    const char *root = root_of(path);
    int fd = root ? open_below(root, path, flags, err) : open(path, flags | O_CLOEXEC);

    if (!root && fd < 0)
        err_set(err, code_of_errno(), "open %s: %s", path, strerror(errno));
    return fd;
}

int file_open_folder(const char *path, struct error *err)
{
    return open_for(path, O_RDONLY | O_DIRECTORY, err);
}

/* Without waiting for what may never come: somebody to write to a FIFO. */
static int open_to_read(const char *path, struct error *err)
{
    return open_for(path, O_RDONLY | O_NONBLOCK, err);
}

bool file_read_open(int fd, const char *path, struct buf *out, struct error *err)
{
    char chunk[65536];
    ssize_t n;

    while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, "read %s: %s", path, strerror(errno));
        if (!buf_add(out, chunk, (size_t)n))
            return err_set(err, ERR_TOO_LARGE, "%s is larger than the limit of %zu bytes", path,
                           out->max);
    }
    return true;
}

bool file_read(const char *path, struct buf *out, struct error *err)
{
    int fd = open_to_read(path, err);
    bool ok;

    if (fd < 0)
        return false;
    fcntl(fd, F_SETFL, 0); /* a pipe that is being written is waited for */
    ok = file_read_open(fd, path, out, err);
    close(fd);
    return ok;
}

bool file_write_all(int fd, const char *path, const void *data, size_t len, struct error *err)
{
    const char *p = data;

    while (len) {
        ssize_t n = fault(IO_WRITE) ? -1 : write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, "write %s: %s", path, strerror(errno));
        p += n;
        len -= (size_t)n;
    }
    return true;
}

bool file_write_at(int fd, const char *path, const void *data, size_t len, size_t at,
                   struct error *err)
{
    const char *p = data;

    while (len) {
        ssize_t n = fault(IO_WRITE) ? -1 : pwrite(fd, p, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, "write %s: %s", path, strerror(errno));
        p += n;
        at += (size_t)n;
        len -= (size_t)n;
    }
    return true;
}

bool file_reserve(int fd, const char *path, size_t len, struct error *err)
{
    int e = fault(IO_WRITE) ? errno : posix_fallocate(fd, 0, (off_t)len);

    return e == 0 || err_set(err, ERR_IO, "write %s: %s", path, strerror(e));
}

bool file_fsync(int fd, const char *path, struct error *err)
{
    if (fault(IO_FSYNC) || fsync(fd) != 0)
        return err_set(err, ERR_IO, "fsync %s: %s", path, strerror(errno));
    return true;
}

bool file_sync_dir(const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? str_ndup(path, slash == path ? 1 : (size_t)(slash - path)) : str_dup(".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 ? file_fsync(fd, dir, err)
                      : err_set(err, ERR_IO, "open %s: %s", dir, strerror(errno));

    if (fd >= 0)
        close(fd);
    free(dir);
    return ok;
}

bool file_writer_open(struct file_writer *w, const char *path, mode_t mode, struct error *err)
{
    w->path = str_dup(path);
    w->tmp = str_fmt("%s.tmp-%ld", path, (long)getpid());
    w->fd = fault(IO_OPEN) ? -1 : open(w->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (w->fd >= 0)
        return true;
    err_set(err, code_of_errno(), "open %s: %s", w->tmp, strerror(errno));
    file_writer_abandon(w);
    return false;
}

bool file_writer_add(struct file_writer *w, const void *data, size_t len, struct error *err)
{
    return file_write_all(w->fd, w->tmp, data, len, err);
}

static bool replace(struct file_writer *w, struct error *err)
{
    file_fence();
    return (!fault(IO_RENAME) && rename(w->tmp, w->path) == 0) ||
           err_set(err, ERR_IO, "rename %s to %s: %s", w->tmp, w->path, strerror(errno));
}

static bool end_writing(struct file_writer *w, bool ok)
{
    if (ok) {
        close(w->fd);
        w->fd = -1;
    }
    file_writer_abandon(w);
    return ok;
}

bool file_writer_commit(struct file_writer *w, struct error *err)
{
    return end_writing(w, file_fsync(w->fd, w->tmp, err) && replace(w, err) &&
                              file_sync_dir(w->path, err));
}

void file_writer_abandon(struct file_writer *w)
{
    if (w->fd >= 0)
        unlink(w->tmp);
    file_writer_keep(w);
}

/* A file that was renamed between open and lock is another writer's finished work. */
static bool lock_part(const struct file_writer *w, int64_t *len_out, struct error *err)
{
    struct stat mine, there;

    if (flock(w->fd, LOCK_EX | LOCK_NB) != 0 || stat(w->tmp, &there) != 0 ||
        fstat(w->fd, &mine) != 0 || mine.st_ino != there.st_ino || mine.st_dev != there.st_dev)
        return err_set(err, ERR_CONFLICT, "%s is being written by another process", w->tmp);
    if (!S_ISREG(mine.st_mode))
        return err_set(err, ERR_INVALID, "%s is not a regular file", w->tmp);
    *len_out = mine.st_size;
    return true;
}

bool file_writer_reopen(struct file_writer *w, const char *path, const char *tmp, mode_t mode,
                        int64_t *len_out, struct error *err)
{
    w->path = str_dup(path);
    w->tmp = str_dup(tmp);
    w->fd = fault(IO_OPEN)
                ? -1
                : open(tmp, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, mode);
    if (w->fd < 0)
        err_set(err, code_of_errno(), "open %s: %s", tmp, strerror(errno));
    else if (lock_part(w, len_out, err))
        return true;
    file_writer_keep(w);
    return false;
}

bool file_writer_restart(struct file_writer *w, struct error *err)
{
    return ftruncate(w->fd, 0) == 0 ||
           err_set(err, ERR_IO, "truncate %s: %s", w->tmp, strerror(errno));
}

void file_writer_keep(struct file_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    free(w->path);
    free(w->tmp);
    *w = (struct file_writer){.fd = -1};
}

static bool write_new(struct file_writer *w, const char *path, const void *data, size_t len,
                      mode_t mode, struct error *err)
{
    if (!file_writer_open(w, path, mode, err))
        return false;
    if (file_writer_add(w, data, len, err))
        return true;
    file_writer_abandon(w);
    return false;
}

bool file_replace(const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
    struct file_writer w;

    return write_new(&w, path, data, len, mode, err) && file_writer_commit(&w, err);
}

bool file_publish(const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
    struct file_writer w;

    return write_new(&w, path, data, len, mode, err) && end_writing(&w, replace(&w, err));
}

bool file_make_dirs(const char *dir, mode_t mode, struct error *err)
{
    char *path = str_dup(dir);
    struct stat st;
    bool ok = true;

    for (char *p = path + 1; ok; p++) {
        char end = *p;

        if (end != '/' && end != '\0')
            continue;
        *p = '\0';
        if (mkdir(path, mode) != 0 && errno != EEXIST)
            ok = err_set(err, ERR_IO, "mkdir %s: %s", path, strerror(errno));
        *p = end;
        if (end == '\0')
            break;
    }
    if (ok && (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode)))
        ok = err_set(err, ERR_IO, "%s is not a directory", dir);
    free(path);
    return ok;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

void file_touch(const char *path)
{
    file_fence();
    if (utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) != 0)
        errno = 0;
}

static int64_t nanoseconds(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct file_stamp stamp_of(const struct stat *st)
{
    return (struct file_stamp){.size = (int64_t)st->st_size,
                               .inode = (int64_t)st->st_ino,
                               .modified_ns = nanoseconds(st->st_mtim),
                               .changed_ns = nanoseconds(st->st_ctim)};
}

bool file_look(const char *path, struct file_stamp *stamp, enum file_kind *kind, struct error *err)
{
    struct stat st;
    int fd = open_for(path, O_PATH, err);
    bool ok;

    if (fd < 0)
        return false;
    ok = fstat(fd, &st) == 0 || err_set(err, ERR_IO, "look at %s: %s", path, strerror(errno));
    close(fd);
    if (!ok)
        return false;
    *stamp = stamp_of(&st);
    *kind = S_ISREG(st.st_mode) ? FILE_PLAIN : S_ISDIR(st.st_mode) ? FILE_FOLDER : FILE_OTHER;
    return true;
}

bool file_map(struct file_map *m, const char *path, struct error *err)
{
    struct stat st;
    void *p;
    int fd = open_to_read(path, err);

    *m = (struct file_map){0};
    if (fd < 0)
        return false;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(err, ERR_DATA, "%s is not a regular file", path);
    }
    m->stamp = stamp_of(&st);
    if (st.st_size == 0) {
        close(fd);
        return true;
    }
    p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        return err_set(err, ERR_IO, "map %s: %s", path, strerror(errno));
    m->data = p;
    m->len = (size_t)st.st_size;
    return true;
}

void file_unmap(struct file_map *m)
{
    if (m->data)
        munmap((void *)(uintptr_t)m->data, m->len);
    *m = (struct file_map){0};
}
