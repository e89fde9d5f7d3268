#define _GNU_SOURCE
#include "worker/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

char *rundir_file(const struct rundir *d, const char *name)
{
    return str_path(d->path, name);
}

static bool take_lock(struct rundir *d, struct error *err)
{
    char *path = rundir_file(d, ".lock");

    d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (d->lock_fd < 0)
        err_set(err, ERR_IO, "open %s: %s", path, strerror(errno));
    else if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0)
        err_set(err, ERR_CONFLICT, "%s is in use: another run writes there now", d->path);
    else {
        free(path);
        return true;
    }
    free(path);
    return false;
}

static bool same_result(const char *path, const struct json *before, const JobSpec *job,
                        struct error *err)
{
    struct problems p = {0};
    JobSpec *old = job_from_json(before, &p);
    struct json *was, *is;
    char *difference;

    if (!problems_none(&p, err)) {
        job_free(old);
        problems_free(&p);
        return err_wrap(err, "%s", path);
    }
    was = job_result_form(old);
    is = job_result_form(job);
    difference = job_difference(was, is);
    if (difference)
        err_set(err, ERR_INVALID,
                "%s holds another job's run (%s); choose another --out or remove it", path,
                difference);
    js_free(was);
    js_free(is);
    job_free(old);
    if (!difference)
        return true;
    free(difference);
    return false;
}

static bool check_spec(const struct rundir *d, const JobSpec *job, struct error *err)
{
    char *path = rundir_file(d, "spec.json");
    bool ok = true;

    if (file_exists(path)) {
        struct json *before = js_read_file(path, JOB_MAX_BYTES, err);

        ok = before && same_result(d->path, before, job, err);
        js_free(before);
    }
    free(path);
    return ok;
}

bool rundir_write_json(const struct rundir *d, const char *name, const struct json *j,
                       struct error *err)
{
    struct buf text = buf_new(0);
    char *path = rundir_file(d, name);
    bool ok;

    js_write(j, JS_INDENT, &text);
    buf_str(&text, "\n");
    ok = file_replace(path, buf_text(&text), text.len, 0644, err);
    free(path);
    buf_free(&text);
    return ok;
}

void rundir_append_json(const struct rundir *d, const char *name, struct json *take_line)
{
    struct buf line = buf_new(0);
    struct error err;
    char *path = rundir_file(d, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;

    js_write(take_line, JS_COMPACT, &line);
    buf_str(&line, "\n");
    if (fd < 0 || !file_write_all(fd, path, buf_text(&line), line.len, &err)) {
        log_warn("cannot append to %s", path);
        /* The next line is not to begin within what a full disk took of this one. */
        if (fd >= 0 && ftruncate(fd, end) != 0)
            errno = 0;
    }
    if (fd >= 0)
        close(fd);
    js_free(take_line);
    buf_free(&line);
    free(path);
}

bool rundir_open(struct rundir *d, const char *path, const JobSpec *job, struct error *err)
{
    *d = (struct rundir){.path = str_dup(path), .lock_fd = -1};
    return file_make_dirs(path, 0755, err) && take_lock(d, err) && check_spec(d, job, err);
}

bool rundir_claim(const struct rundir *d, const JobSpec *job, struct error *err)
{
    struct json *spec = job_to_json(job);
    bool ok = rundir_write_json(d, "spec.json", spec, err);

    js_free(spec);
    return ok;
}

/* Appending, because whoever watches over the size of logs cuts them off. */
bool rundir_take_errors(const struct rundir *d, int rank, struct error *err)
{
    char *path = str_fmt("%s/logs/rank-%d.log", d->path, rank);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    bool ok = fd >= 0 && dup2(fd, STDERR_FILENO) >= 0;

    if (!ok)
        err_set(err, ERR_IO, "open %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(path);
    return ok;
}

void rundir_close(struct rundir *d)
{
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    free(d->path);
    *d = (struct rundir){.lock_fd = -1};
}
