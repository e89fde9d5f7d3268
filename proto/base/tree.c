#define _GNU_SOURCE
#include "proto/base/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/beneath.h"
#include "proto/base/file.h"

enum {
    DEEPEST = 64, /* each level holds a descriptor */
    BLOCK = 512   /* st_blocks counts in these */
};

/* Called for each entry of a folder but "." and "..". False ends it. */
typedef bool (*entry_fn)(int folder, const char *name, int depth, void *arg, struct error *err);

static bool is_itself(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool each_entry(int folder, const char *name, int depth, entry_fn fn, void *arg,
                       struct error *err)
{
    int fd = beneath_open(folder, name, O_RDONLY | O_DIRECTORY, err);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;
    bool ok = dir != NULL;

    if (fd >= 0 && !dir)
        close(fd);
    while (ok && (e = readdir(dir)))
        ok = is_itself(e->d_name) || fn(fd, e->d_name, depth + 1, arg, err);
    if (dir)
        closedir(dir);
    return ok;
}

/* -- Measuring ---------------------------------------------------------------------------------------- */

struct measuring {
    struct tree *sum;
    dev_t device;
};

static bool measure(int folder, const char *name, int depth, void *arg, struct error *err)
{
    struct measuring *m = arg;
    int64_t changed;
    struct stat st;

    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || err_set(err, ERR_IO, "look at %s: %s", name, strerror(errno));
    if (depth == 0)
        m->device = st.st_dev;
    changed = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    if (changed > m->sum->newest_ms)
        m->sum->newest_ms = changed;
    m->sum->bytes += (int64_t)st.st_blocks * BLOCK;
    if (!S_ISDIR(st.st_mode)) {
        m->sum->files++;
        return true;
    }
    return st.st_dev != m->device || depth == DEEPEST ||
           each_entry(folder, name, depth, measure, m, err);
}

bool tree_measure(int folder, const char *name, struct tree *sum, struct error *err)
{
    struct measuring m = {.sum = sum};

    return measure(folder, name, 0, &m, err);
}

/* -- Removing ----------------------------------------------------------------------------------------- */

static bool gone(int result, const char *name, struct error *err)
{
    return result == 0 || errno == ENOENT ||
           err_set(err, ERR_IO, "remove %s: %s", name, strerror(errno));
}

static bool remove_entry(int folder, const char *name, int depth, void *arg, struct error *err)
{
    dev_t *device = arg;
    struct stat st;

    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || err_set(err, ERR_IO, "look at %s: %s", name, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return gone(unlinkat(folder, name, 0), name, err);
    if (depth == 0)
        *device = st.st_dev;
    if (st.st_dev != *device || depth == DEEPEST)
        return err_set(err, ERR_IO, "remove %s: %s", name,
                       depth == DEEPEST ? "folders lie too deep in one another"
                                        : "another file system is mounted there");
    return (each_entry(folder, name, depth, remove_entry, arg, err) &&
            gone(unlinkat(folder, name, AT_REMOVEDIR), name, err)) ||
           err_wrap(err, "%s", name);
}

bool tree_remove(int folder, const char *name, struct error *err)
{
    dev_t device = 0;

    file_fence();
    return remove_entry(folder, name, 0, &device, err);
}
