#define _GNU_SOURCE
#include "proto/base/pinned.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    PATIENCE = 2000 /* looks, a millisecond apart, for the lock; it is held for a few calls */
};

static const char lock_name[] = ".lock";

/* All of a pinned one, in the order in which they are removed. */
static const char *const exts[] = {".json", ".safetensors", PINNED_EXT};

int64_t pinned_step(const char *file, const char *ext)
{
    const size_t prefix = strlen("step-"), all = strlen(file), end = strlen(ext);
    int64_t step = -1;
    char *digits, *own;

    if (all < prefix + end || !str_starts(file, "step-") || !str_ends(file, ext))
        return -1;
    digits = str_ndup(file + prefix, all - prefix - end);
    /* No run gets to the largest number. */
    if (!str_int(digits, 0, INT64_MAX - 1, &step))
        step = -1;
    own = str_fmt("%09" PRId64, step);
    if (strcmp(own, digits) != 0)
        step = -1;
    free(own);
    free(digits);
    return step;
}

static bool is_there(int dir, const char *name, const char *ext)
{
    char *file = str_fmt("%s%s", name, ext);
    struct stat st;
    bool found = fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) == 0;

    free(file);
    return found;
}

static size_t count(int dir, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(exts); i++)
        n += is_there(dir, name, exts[i]);
    return n;
}

/* A lock of the open file, not flock: with it a host that lends the folder out by NFS and those that borrow it exclude each
 * other, too. Nobody waits for ever: its holder may have been stopped. */
static bool lock_file(int fd, struct error *err)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    for (int i = 0; fcntl(fd, F_OFD_SETLK, &whole) != 0; i++) {
        if (errno == ENOSYS || errno == EOPNOTSUPP || errno == EINVAL)
            return err_set(err, ERR_UNSUPPORTED,
                           "a checkpoint cannot be pinned where files cannot be locked: %s",
                           strerror(errno));
        if (errno != EAGAIN && errno != EACCES && errno != EINTR && errno != ENOLCK)
            return err_set(err, ERR_IO, "lock the checkpoints: %s", strerror(errno));
        if (i == PATIENCE)
            return err_set(err, ERR_BUSY,
                           "somebody else has held the lock of the checkpoints for %d s: %s",
                           PATIENCE / 1000, strerror(errno));
        nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    }
    return true;
}

/* -1 with err; close() lets go. */
static int take_lock(int dir, struct error *err)
{
    /* A FIFO, which a rank may have put there, is not waited for. */
    int fd = openat(dir, lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);

    if (fd < 0) {
        err_set(err, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO,
                "open the lock of the checkpoints: %s", strerror(errno));
        return -1;
    }
    if (lock_file(fd, err))
        return fd;
    close(fd);
    return -1;
}

static bool make_mark(int dir, const char *name, struct error *err)
{
    char *file = str_fmt("%s" PINNED_EXT, name);
    int fd = openat(dir, file, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);

    if (fd >= 0)
        close(fd);
    else
        err_set(err, ERR_IO, "make %s: %s", file, strerror(errno));
    free(file);
    return fd >= 0;
}

bool pinned_mark(int dir, const char *name, struct error *err)
{
    int lock = take_lock(dir, err);
    bool ok;

    if (lock < 0)
        return false;
    ok = is_there(dir, name, exts[0]) && is_there(dir, name, exts[1])
             ? make_mark(dir, name, err)
             : err_set(err, ERR_NOT_FOUND, "checkpoint %s has just been removed", name);
    close(lock);
    return ok;
}

int pinned_hold(int dir, const char *name, struct error *err)
{
    struct error why;
    int lock = take_lock(dir, &why);

    /* Where nothing can be pinned, nothing has to be held; and where there is no room for a file, removing makes some. */
    if (lock < 0 && (why.code == ERR_UNSUPPORTED || why.code == ERR_FULL))
        lock = fcntl(dir, F_DUPFD_CLOEXEC, 0);
    if (lock < 0) {
        err_set(err, why.code, "%s", why.msg);
        return -1;
    }
    if (count(dir, name) < ARRAY_LEN(exts))
        return lock;
    close(lock);
    err_set(err, ERR_CONFLICT, "checkpoint %s is pinned", name);
    return -1;
}

static bool drop(int dir, const char *name, const char *ext, struct error *err)
{
    char *file = str_fmt("%s%s", name, ext);
    bool ok;

    file_fence();
    ok = unlinkat(dir, file, 0) == 0 || errno == ENOENT ||
         err_set(err, ERR_IO, "remove %s: %s", file, strerror(errno));
    free(file);
    return ok;
}

bool pinned_remove(int dir, const char *name, struct error *err)
{
    int lock = pinned_hold(dir, name, err);
    bool ok;

    if (lock < 0)
        return false;
    ok = count(dir, name) > 0 ||
         err_set(err, ERR_NOT_FOUND, "checkpoint %s has just been removed", name);
    for (size_t i = 0; ok && i < ARRAY_LEN(exts); i++)
        ok = drop(dir, name, exts[i], err);
    close(lock);
    return ok;
}
