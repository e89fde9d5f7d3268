#define _GNU_SOURCE
#include "daemon/roots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
static bool is_result(const struct daemon *d, const char *path)
{
    const char *rest = beneath_rest(d->state_dir, path);
    char id[JOB_ID_SIZE];

    if (!rest || !str_starts(rest, "jobs/"))
        return false;
    rest += strlen("jobs/");
    snprintf(id, sizeof(id), "%s", rest);
    return id_valid(id) && str_starts(rest + strlen(id), "/out/");
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

bool roots_check(const struct daemon *d, const char *path, struct error *err)
{
    const opt_list *list = &d->settings.data_roots;

    if (!list->n)
        return true;
    if (is_result(d, path))
        return leads_nowhere_else(d->state_dir, beneath_rest(d->state_dir, path), err);
    for (size_t i = 0; i < list->n; i++) {
        const char *rest = beneath_rest(list->at[i], path);

        if (rest && !beneath_rest(d->state_dir, path)) /* where tokens lie */
            return leads_nowhere_else(list->at[i], rest, err);
    }
    return lies_elsewhere(list, path, err);
}
