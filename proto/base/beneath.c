#define _GNU_SOURCE
#include "proto/base/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/str.h"

/* Whether the system call is worth a try: a kernel that has it not, or a filter that takes it away, says so once. */
static atomic_bool missing;

static bool refused(const char *path, struct error *err)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR: return err_set(err, ERR_NOT_FOUND, "%s is not there", path);
    case ELOOP:
    case EXDEV:
        return err_set(err, ERR_FORBIDDEN, "%s leads out of its folder, or over a symbolic link",
                       path);
    default: return err_set(err, ERR_IO, "open %s: %s", path, strerror(errno));
    }
}

/* A name `..` anywhere. One that comes back in would be harmless, were nothing renamed meanwhile. */
static bool goes_up(const char *path)
{
    for (; *path; path += strspn(path, "/")) {
        size_t len = strcspn(path, "/");

        if (len == 2 && memcmp(path, "..", len) == 0)
            return true;
        path += len;
    }
    return false;
}

static bool stays_below(const char *path, struct error *err)
{
    errno = EXDEV;
    return (*path != '/' && !goes_up(path)) || refused(path, err);
}

/* -- Name by name ------------------------------------------------------------------------------------- */

/* The next name of the path, which moves on; free(). NULL at its end. */
static char *next_name(const char **path)
{
    const char *from = *path + strspn(*path, "/");
    size_t len = strcspn(from, "/");

    *path = from + len;
    return len ? str_ndup(from, len) : NULL;
}

/* One step down. O_NOFOLLOW refuses a link in this place, and there is no other place in a single name. A link that
 * is no folder is told as ENOTDIR where one is asked for: as a link it is forbidden all the same. */
static int step(int at, const char *name, int flags)
{
    int fd = openat(at, name, flags | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    bool link;

    if (fd < 0 && errno == ENOTDIR) {
        link = fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
        errno = link ? ELOOP : ENOTDIR;
    } else if (fd >= 0 && (flags & O_PATH) && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode)) {
        close(fd); /* which is how the link itself is opened */
        fd = -1;
        errno = ELOOP;
    }
    return fd;
}

/* One step, from a descriptor that it closes in any case. */
static int leave(int take_at, const char *name, int flags)
{
    int next = step(take_at, name, flags), why = errno;

    close(take_at);
    errno = why;
    return next;
}

static int walk(int folder, const char *path, int flags)
{
    char *name = next_name(&path);
    int at = openat(folder, ".", (name ? O_RDONLY : flags) | O_DIRECTORY | O_CLOEXEC);

    while (at >= 0 && name) {
        char *after = next_name(&path);

        at = leave(at, name, after ? O_RDONLY | O_DIRECTORY : flags);
        free(name);
        name = after;
    }
    free(name);
    return at;
}

int beneath_walk(int folder, const char *path, int flags, struct error *err)
{
    int fd;

    if (!stays_below(path, err))
        return -1;
    fd = walk(folder, path, flags);
    if (fd < 0)
        refused(path, err);
    return fd;
}

/* -- At once ------------------------------------------------------------------------------------------ */

static int at_once(int folder, const char *path, int flags)
{
    const struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC,
                                 .resolve =
                                     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, folder, *path ? path : ".", &how, sizeof(how));
}

int beneath_open(int folder, const char *path, int flags, struct error *err)
{
    int fd = -1;

    if (!stays_below(path, err))
        return -1;
    if (!atomic_load(&missing)) {
        fd = at_once(folder, path, flags);
        /* A filter of system calls says EPERM, which no file system says of a plain opening for reading. */
        if (fd < 0 && (errno == ENOSYS || errno == EPERM))
            atomic_store(&missing, true);
        else if (fd < 0)
            refused(path, err);
    }
    return fd >= 0 || !atomic_load(&missing) ? fd : beneath_walk(folder, path, flags, err);
}

int beneath_open_file(int folder, const char *path, struct stat *st, struct error *err)
{
    struct stat mine;
    int fd = beneath_open(folder, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, err);

    if (fd < 0 || (fstat(fd, &mine) == 0 && S_ISREG(mine.st_mode))) {
        if (fd >= 0 && st)
            *st = mine;
        return fd;
    }
    close(fd);
    err_set(err, ERR_DATA, "%s is not a regular file", path);
    return -1;
}

const char *beneath_rest(const char *root, const char *path)
{
    size_t len = strlen(root);

    while (len && root[len - 1] == '/')
        len--;
    if (strncmp(root, path, len) != 0 || (path[len] && path[len] != '/'))
        return NULL;
    return path + len + strspn(path + len, "/");
}
