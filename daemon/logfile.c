/* A log is open in processes that cannot be told to open another one (mpirun, a rank in an endless
 * loop), so it is copied and cut, not renamed. */
#define _GNU_SOURCE
#include "daemon/logfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    BLOCK = 256 << 10
};

/* The newest half of `limit`, and what is written meanwhile, up to `limit` in all: then there is little
 * that can be lost when the log is cut. */
static bool copy_newest(int fd, int64_t size, int64_t limit, struct file_writer *w,
                        struct error *err)
{
    char *block = mem_calloc(BLOCK, 1);
    int64_t at = size - limit / 2, end = at + limit - BLOCK;
    bool ok = true;
    ssize_t n = 1;

    for (; ok && n > 0 && at <= end; at += n) {
        n = pread(fd, block, BLOCK, at);
        ok = n <= 0 || file_writer_add(w, block, (size_t)n, err);
    }
    free(block);
    return ok;
}

static void cut(int fd, const char *path, int64_t size, int64_t limit)
{
    char *older = str_fmt("%s.1", path);
    struct file_writer w;
    struct error err;
    bool kept = file_writer_open(&w, older, 0644, &err) && copy_newest(fd, size, limit, &w, &err);

    /* On a full disk the older part is given up: the flood must end there. */
    if (ftruncate(fd, 0) != 0)
        log_warn("a log cannot be cut path=%s", path);
    kept = kept && file_writer_commit(&w, &err);
    if (!kept)
        log_warn("the older part of a log is lost error=\"%s\"", err.msg);
    file_writer_abandon(&w);
    free(older);
}

static void look_at(const char *path, int64_t limit)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > limit)
        cut(fd, path, st.st_size, limit);
    close(fd);
}

static int is_log(const struct dirent *e)
{
    return str_starts(e->d_name, "rank-") && str_ends(e->d_name, ".log");
}

void logfile_keep_small(const char *dir, int64_t limit)
{
    struct dirent **entries;
    int n = scandir(dir, &entries, is_log, NULL);

    for (int i = 0; i < n; i++) {
        char *path = str_path(dir, entries[i]->d_name);

        look_at(path, limit);
        free(path);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}
