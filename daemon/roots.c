#define _GNU_SOURCE
#include "daemon/roots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/reach.h"
#include "proto/base/beneath.h"
#include "proto/base/str.h"

void roots_open(struct daemon *d)
{
    const opt_list *list = &d->settings.data_roots;
    struct buf b = buf_new(0);

    if (!list->n)
        return;
    buf_fmt(&b, "%s/blobs:%s/jobs", d->state_dir, d->state_dir);
    for (size_t i = 0; i < list->n; i++)
        buf_fmt(&b, ":%s", list->at[i]);
    d->roots = buf_take(&b);
}

/* Of what is below STATE/jobs, ID/out/.. alone, and the ID: beside it lie tokens. */
static bool names_result(const char *rest, char id[JOB_ID_SIZE])
{
    snprintf(id, JOB_ID_SIZE, "%s", rest);
    return id_valid(id) && str_starts(rest + strlen(id), "/out/");
}

/* What of the path is below STATE/jobs; NULL where it names no result. */
static const char *result_of(const struct daemon *d, const char *path, char id[JOB_ID_SIZE])
{
    const char *rest = beneath_rest(d->state_dir, path);

    if (!rest || !str_starts(rest, "jobs/"))
        return NULL;
    rest += strlen("jobs/");
    return names_result(rest, id) ? rest : NULL;
}

static bool lies_in(const char *folder, const char *path)
{
    char *real = realpath(folder, NULL);
    bool does = real && beneath_rest(real, path);

    free(real);
    return does;
}

/* Where tokens lie, and what belongs to others. The path may be written in other ways, but below its root it has no
 * links. */
static bool is_state(const struct daemon *d, const char *root, const char *rest)
{
    char *real = realpath(root, NULL), *jobs = str_path(d->state_dir, "jobs");
    struct buf b = buf_new(0);
    bool is;

    if (real && strcmp(real, "/") != 0)
        buf_str(&b, real);
    for (size_t len; *rest; rest += len + strspn(rest + len, "/")) {
        len = strcspn(rest, "/");
        if (len != 1 || *rest != '.')
            buf_fmt(&b, "/%.*s", (int)len, rest);
    }
    is = real && (lies_in(d->state_dir, buf_text(&b)) || lies_in(jobs, buf_text(&b)));
    buf_free(&b);
    free(jobs);
    free(real);
    return is;
}

static bool leads_nowhere_else(const char *root, const char *rest, struct error *err)
{
    int folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd;
    struct error why = {0};

    if (folder < 0)
        return errno == ENOENT || err_set(err, ERR_INVALID, "%s: %s", root, strerror(errno));
    fd = beneath_open(folder, rest, O_PATH, &why);
    close(folder);
    if (fd >= 0)
        close(fd);
    return why.code != ERR_FORBIDDEN || err_set(err, ERR_INVALID, "%s: %s", root, why.msg);
}

static bool stays_in_jobs(const struct daemon *d, const char *rest, struct error *err)
{
    char *jobs = str_path(d->state_dir, "jobs");
    bool ok = leads_nowhere_else(jobs, rest, err);

    free(jobs);
    return ok;
}

/* Without links and `..` as far as it is there; behind that, as it is written. NULL: there, too, it has a `..`, which
 * will lead elsewhere as soon as somebody makes what is before it. */
static char *real_path(const char *path)
{
    char *head = str_dup(path), *real, *slash, *all;

    while (!(real = realpath(head, NULL)) && (slash = strrchr(head, '/')))
        *slash = '\0';
    all = strstr(path + strlen(head), "/..")
              ? NULL
              : str_fmt("%s%s", real ? real : "", path + strlen(head));
    free(head);
    free(real);
    return all;
}

/* Where everything may be read but what others have in the state: however the path leads there. */
static bool is_nobody_elses(const struct daemon *d, const struct caller *who, const char *path,
                            struct error *err)
{
    char *real = real_path(path), *jobs = str_path(d->state_dir, "jobs"),
         *real_jobs = real_path(jobs);
    const char *rest = real ? beneath_rest(real_jobs, real) : NULL;
    char id[JOB_ID_SIZE];
    bool ok;

    if (!real)
        ok = err_set(err, ERR_INVALID, "has a `..` behind what is not there, got \"%s\"", path);
    else if (rest && names_result(rest, id))
        ok = reach_job(d, who, id, err);
    else
        ok = (!rest && !beneath_rest(d->state_dir, real)) ||
             err_set(err, ERR_INVALID,
                     "lies in the daemon's own folder; of it, results of jobs may be named "
                     "(%s/ID/out/..), got \"%s\"",
                     jobs, path);
    free(real);
    free(jobs);
    free(real_jobs);
    return ok;
}

static bool lies_elsewhere(const opt_list *list, const char *path, struct error *err)
{
    struct buf b = buf_new(0);

    for (size_t i = 0; i < list->n; i++)
        buf_fmt(&b, "%s%s", i ? " or " : "", list->at[i]);
    err_set(err, ERR_INVALID, "must lie below %s (--data-root), got \"%s\"", buf_text(&b), path);
    buf_free(&b);
    return false;
}

bool roots_check(const struct daemon *d, const struct caller *who, const char *path,
                 struct error *err)
{
    const opt_list *list = &d->settings.data_roots;
    const char *result;
    char id[JOB_ID_SIZE];

    if (!list->n)
        return is_nobody_elses(d, who, path, err);
    result = result_of(d, path, id);
    if (result)
        return reach_job(d, who, id, err) && stays_in_jobs(d, result, err);
    for (size_t i = 0; i < list->n; i++) {
        const char *rest = beneath_rest(list->at[i], path);

        if (rest && !is_state(d, list->at[i], rest))
            return leads_nowhere_else(list->at[i], rest, err);
    }
    return lies_elsewhere(list, path, err);
}
