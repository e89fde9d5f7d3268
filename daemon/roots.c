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

/* STATE/jobs/ID/out/..; beside it lie tokens. */
static bool is_result(const struct daemon *d, const char *path, char id[JOB_ID_SIZE])
{
    const char *rest = beneath_rest(d->state_dir, path);

    if (!rest || !str_starts(rest, "jobs/"))
        return false;
    rest += strlen("jobs/");
    snprintf(id, JOB_ID_SIZE, "%s", rest);
    return id_valid(id) && str_starts(rest + strlen(id), "/out/");
}

/* Where tokens lie, and what belongs to others. The path may be written in other ways, but below its root it has no
 * links. */
static bool is_state(const struct daemon *d, const char *root, const char *rest)
{
    char *real = realpath(root, NULL);
    struct buf b = buf_new(0);
    bool is;

    if (real && strcmp(real, "/") != 0)
        buf_str(&b, real);
    for (size_t len; *rest; rest += len + strspn(rest + len, "/")) {
        len = strcspn(rest, "/");
        if (len != 1 || *rest != '.')
            buf_fmt(&b, "/%.*s", (int)len, rest);
    }
    is = real && beneath_rest(d->state_dir, buf_text(&b));
    buf_free(&b);
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
    char id[JOB_ID_SIZE];

    if (!list->n)
        return true;
    if (is_result(d, path, id))
        return reach_job(d, who, id, err) &&
               leads_nowhere_else(d->state_dir, beneath_rest(d->state_dir, path), err);
    for (size_t i = 0; i < list->n; i++) {
        const char *rest = beneath_rest(list->at[i], path);

        if (rest && !is_state(d, list->at[i], rest))
            return leads_nowhere_else(list->at[i], rest, err);
    }
    return lies_elsewhere(list, path, err);
}
