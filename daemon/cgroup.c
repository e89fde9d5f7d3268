#define _GNU_SOURCE
#include "daemon/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/str.h"

/* Where the unified hierarchy is mounted, also beside the old ones; free(), or NULL. */
static char *mount_point(void)
{
    FILE *mounts = setmntent("/proc/self/mounts", "r");
    const struct mntent *m;
    char *found = NULL;

    while (mounts && !found && (m = getmntent(mounts)))
        if (strcmp(m->mnt_type, "cgroup2") == 0)
            found = str_dup(m->mnt_dir);
    if (mounts)
        endmntent(mounts);
    return found;
}

/* Our own cgroup in it: the line "0::/path"; free(), or NULL. */
static char *own_path(void)
{
    struct buf text = buf_new(64 << 10);
    const char *line = NULL;
    char *path = NULL;

    if (file_read("/proc/self/cgroup", &text, NULL))
        line = str_starts(buf_text(&text), "0::") ? text.data : strstr(buf_text(&text), "\n0::");
    if (line) {
        line = strchr(line, '/');
        path = line ? str_ndup(line, strcspn(line, "\n")) : NULL;
    }
    buf_free(&text);
    return path;
}

static bool write_word(const char *path, const char *file, const char *word)
{
    char *name = str_path(path, file);
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, word, strlen(word)) == (ssize_t)strlen(word);

    if (fd >= 0)
        close(fd);
    free(name);
    return ok;
}

char *cgroup_make(const char *attempt_id)
{
    char *mount = mount_point(), *own = own_path(), *parent, *path = NULL, *kill_file;

    if (mount && own) {
        parent = str_fmt("%s%s%sdistilld", mount, own, str_ends(own, "/") ? "" : "/");
        path = str_path(parent, attempt_id);
        kill_file = str_path(path, "cgroup.kill");
        mkdir(parent, 0755);
        if ((mkdir(path, 0755) != 0 && errno != EEXIST) || access(kill_file, W_OK) != 0) {
            rmdir(path);
            free(path);
            path = NULL;
        }
        free(kill_file);
        free(parent);
    }
    free(mount);
    free(own);
    return path;
}

bool cgroup_enter(const char *path)
{
    return write_word(path, "cgroup.procs", "0");
}

bool cgroup_end(const char *path)
{
    if (!file_exists(path))
        return true;
    write_word(path, "cgroup.kill", "1");
    return rmdir(path) == 0 || errno != EBUSY;
}
