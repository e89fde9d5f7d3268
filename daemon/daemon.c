#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/projects.h"
#include "proto/base/beneath.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

/* Ids rise with the order of arrival. The first that is not before it. */
static size_t find(const struct daemon *d, const char *id)
{
    size_t lo = 0, hi = d->active.n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (strcmp(d->active.at[mid]->job->id, id) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct active *daemon_active(const struct daemon *d, const char *id)
{
    size_t at = find(d, id);

    return at < d->active.n && strcmp(d->active.at[at]->job->id, id) == 0 ? d->active.at[at] : NULL;
}

/* The last of a list finds its place. A job that a user takes up again comes back to its old one. */
static void sort_in(struct active **list, size_t n)
{
    struct active *a = list[n - 1];
    size_t at;

    for (at = n - 1; at > 0 && list[at - 1]->job->seq > a->job->seq; at--)
        list[at] = list[at - 1];
    list[at] = a;
}

static void take_out(struct active **list, size_t n, size_t at)
{
    memmove(&list[at], &list[at + 1], (n - at - 1) * sizeof(*list));
}

static bool is_busy(const struct job *j)
{
    return j->state != JOB_QUEUED || j->n_needs || job_is_sweep(j) || j->yield_requested;
}

static void leave_busy(struct daemon *d, struct active *a)
{
    size_t at = 0;

    while (d->busy.at[at] != a)
        at++;
    take_out(d->busy.at, d->busy.n--, at);
    a->busy = false;
}

void daemon_note_change(struct daemon *d, struct active *a)
{
    if (is_busy(a->job) == a->busy)
        return;
    if (a->busy) {
        leave_busy(d, a);
        return;
    }
    vec_push(&d->busy, a);
    sort_in(d->busy.at, d->busy.n);
    a->busy = true;
}

struct active *daemon_add_active(struct daemon *d, struct job *take_job)
{
    struct active *a = pool_take(&d->pool, sizeof(*a));

    a->job = take_job;
    a->project = projects_index(d, take_job->project);
    vec_push(&d->active, a);
    sort_in(d->active.at, d->active.n);
    daemon_note_change(d, a);
    return a;
}

void daemon_drop_active(struct daemon *d, struct active *a)
{
    size_t at = find(d, a->job->id);

    ASSERT(at < d->active.n && d->active.at[at] == a);
    take_out(d->active.at, d->active.n--, at);
    if (a->busy)
        leave_busy(d, a);
    job_destroy(a->job);
    pool_give(&d->pool, a);
}

void daemon_drop_all(struct daemon *d)
{
    while (d->active.n)
        daemon_drop_active(d, d->active.at[d->active.n - 1]);
    vec_free(&d->active);
    pool_free(&d->pool);
    vec_free(&d->busy);
    vec_free(&d->line);
    vec_free(&d->line_by_seq);
    vec_free(&d->plans);
    vec_free(&d->projects);
}

void daemon_wake_streams(struct daemon *d)
{
    http_wake(d->http);
    http_wake(d->local);
}

size_t daemon_streams(const struct daemon *d)
{
    return http_streams(d->http) + http_streams(d->local);
}

char *daemon_job_path(const struct daemon *d, const char *id, const char *rest)
{
    return str_fmt("%s/jobs/%s/%s", d->state_dir, id, rest);
}

char *daemon_attempt_path(const struct daemon *d, const struct job *j)
{
    return str_fmt("%s/jobs/%s/attempts/%" PRId64, d->state_dir, j->id, j->attempt);
}

int daemon_open_below(int state, const char *path, struct error *err)
{
    const char *rest = path + strcspn(path, "/");
    char *first = str_ndup(path, (size_t)(rest - path));
    int top = openat(state, *first ? first : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;

    rest += strspn(rest, "/");
    if (top < 0)
        err_set(err, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO, "open %s: %s",
                first, strerror(errno));
    free(first);
    if (top < 0 || !*rest)
        return top;
    fd = beneath_open(top, rest, O_RDONLY | O_DIRECTORY, err);
    close(top);
    return fd;
}

int daemon_open_out(const struct daemon *d, const char *id, struct error *err)
{
    int state = open(d->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
    char *path;

    if (state < 0) {
        err_set(err, ERR_IO, "open %s: %s", d->state_dir, strerror(errno));
        return -1;
    }
    path = str_fmt("jobs/%s/out", id);
    fd = daemon_open_below(state, path, err);
    close(state);
    free(path);
    return fd;
}

int daemon_open_output(const struct daemon *d, const char *id, const char *name, struct stat *st,
                       struct error *err)
{
    int out = daemon_open_out(d, id, err), fd;

    if (out < 0)
        return -1;
    fd = beneath_open_file(out, name, st, err);
    close(out);
    return fd;
}
