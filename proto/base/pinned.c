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
#include "proto/base/str.h"

enum {
    PATIENCE = 2000 /* looks, a millisecond apart, for what somebody has put aside */
};

/* A crash leaves it as what an interrupted write leaves, and a rotation removes that. */
static const char note_ext[] = ".json", aside_ext[] = ".json.tmp-0", tensors_ext[] = ".safetensors";

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

/* What became of it is in errno. */
static bool move(int dir, const char *name, const char *from_ext, const char *to_ext)
{
    char *from = str_fmt("%s%s", name, from_ext), *to = str_fmt("%s%s", name, to_ext);
    bool ok = renameat(dir, from, dir, to) == 0;
    int why = errno;

    free(to);
    free(from);
    errno = why;
    return ok;
}

static bool drop(int dir, const char *name, const char *ext, struct error *err)
{
    char *file = str_fmt("%s%s", name, ext);
    bool ok = unlinkat(dir, file, 0) == 0 || errno == ENOENT ||
              err_set(err, ERR_IO, "remove %s: %s", file, strerror(errno));

    free(file);
    return ok;
}

bool pinned_remove_note(int dir, const char *name, struct error *err)
{
    if (is_there(dir, name, PINNED_EXT))
        return err_set(err, ERR_CONFLICT, "checkpoint %s is pinned", name);
    file_fence();
    if (!move(dir, name, note_ext, aside_ext))
        return errno == ENOENT
                   ? err_set(err, ERR_NOT_FOUND, "checkpoint %s has just been removed", name)
                   : err_set(err, ERR_IO, "remove %s.json: %s", name, strerror(errno));
    if (!is_there(dir, name, PINNED_EXT))
        return drop(dir, name, aside_ext, err);
    if (!move(dir, name, aside_ext, note_ext))
        return err_set(err, ERR_IO, "bring %s.json back: %s", name, strerror(errno));
    return err_set(err, ERR_CONFLICT, "checkpoint %s has just been pinned", name);
}

/* Whoever puts it aside brings it back soon, or removes it. */
static bool note_stays(int dir, const char *name)
{
    bool found = is_there(dir, name, note_ext);

    for (int i = 0; !found && i < PATIENCE && is_there(dir, name, aside_ext); i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
        found = is_there(dir, name, note_ext);
    }
    /* Between the two looks it may have come back. */
    return found || is_there(dir, name, note_ext);
}

bool pinned_mark(int dir, const char *name, struct error *err)
{
    char *file = str_fmt("%s" PINNED_EXT, name);
    /* A FIFO, which a rank may have put there, is not waited for. */
    int fd = openat(dir, file, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    bool ok = fd >= 0 || err_set(err, ERR_IO, "make %s: %s", file, strerror(errno));

    if (fd >= 0)
        close(fd);
    free(file);
    if (!ok || (note_stays(dir, name) && is_there(dir, name, tensors_ext)))
        return ok;
    drop(dir, name, PINNED_EXT, NULL);
    return err_set(err, ERR_NOT_FOUND, "checkpoint %s has just been removed", name);
}
