/* Files of a job's run directory. A name never becomes a path: the folder is opened first, and what is
 * asked for must lie below it without a link on the way (beneath.h): ranks may have put there what they like. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/api.h"
#include "daemon/problem.h"
#include "proto/base/beneath.h"
#include "proto/base/mem.h"
#include "proto/base/pinned.h"
#include "proto/base/str.h"

/* What a run leaves for others to use. */
static const struct {
    const char *name; /* a trailing slash: all files of that folder */
    const char *type;
} artifacts[] = {
    {"result.json", "application/json"},
    {"spec.json", "application/json"},
    {"metrics.jsonl", "application/x-ndjson"},
    {"timing.jsonl", "application/x-ndjson"},
    {"student.safetensors", "application/octet-stream"},
    {"best.safetensors", "application/octet-stream"},
    {"class_means.safetensors", "application/octet-stream"},
    {"student.onnx", "application/octet-stream"},
    {"checkpoints/", "application/octet-stream"},
};

/* -- Artifacts --------------------------------------------------------------------------------- */

static void add_item(struct json *items, int dir, const char *name)
{
    struct stat st;
    struct json *j;
    int fd = beneath_open_file(dir, name, &st, NULL);

    if (fd < 0)
        return;
    close(fd);
    j = js_new_object();
    js_set(j, "name", js_new_string(name));
    js_set(j, "size_bytes", js_new_int(st.st_size));
    js_push(items, j);
}

/* Half-written files, and marks, have names of their own. */
static bool is_finished(const char *name)
{
    return *name != '.' && !strstr(name, ".tmp-") && !str_ends(name, PINNED_EXT);
}

static int is_shown(const struct dirent *e)
{
    return is_finished(e->d_name);
}

int api_scan(int dir, const char *folder, struct dirent ***entries,
             int (*wanted)(const struct dirent *e),
             int (*order)(const struct dirent **a, const struct dirent **b))
{
    int fd = beneath_open(dir, folder, O_RDONLY | O_DIRECTORY, NULL);
    int n = fd >= 0 ? scandirat(fd, ".", entries, wanted, order) : -1;

    if (fd >= 0)
        close(fd);
    return n;
}

static void add_folder(struct json *items, int dir, const char *folder)
{
    struct dirent **entries;
    int n = api_scan(dir, folder, &entries, is_shown, alphasort);

    for (int i = 0; i < n; i++) {
        char *name = str_fmt("%s%s", folder, entries[i]->d_name);

        add_item(items, dir, name);
        free(name);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

void api_job_artifacts(struct daemon *d, struct request *r)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);
    struct json *answer, *items;
    int dir;

    if (!j)
        return;
    answer = js_new_object();
    items = js_new_array();
    js_set(answer, "items", items);
    dir = daemon_open_out(d, j->id, NULL);
    for (size_t i = 0; dir >= 0 && i < ARRAY_LEN(artifacts); i++)
        (str_ends(artifacts[i].name, "/") ? add_folder : add_item)(items, dir, artifacts[i].name);
    if (dir >= 0)
        close(dir);
    reply_json(r, 200, answer);
    job_destroy(owned);
}

/* A finished file of the folder itself: "checkpoints/../logs/x" is none. */
static bool lies_in(const char *folder, const char *name)
{
    return str_starts(name, folder) && !strchr(name + strlen(folder), '/') &&
           is_finished(name + strlen(folder));
}

/* The media type of an artifact; NULL for any other name. */
static const char *type_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(artifacts); i++) {
        const char *known = artifacts[i].name;

        if (str_ends(known, "/") ? lies_in(known, name) : strcmp(name, known) == 0)
            return artifacts[i].type;
    }
    return NULL;
}

static int open_artifact(const struct daemon *d, const char *id, const char *name, struct stat *st)
{
    return type_of(name) ? daemon_open_output(d, id, name, st, NULL) : -1;
}

int api_open_artifact(const struct daemon *d, const char *id, const char *name)
{
    return open_artifact(d, id, name, NULL);
}

void api_job_artifact(struct daemon *d, struct request *r)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);
    const char *name = r->params[1];
    struct stat st;
    int fd;

    if (!j)
        return;
    fd = open_artifact(d, j->id, name, &st);
    if (fd >= 0)
        reply_file(r, type_of(name), fd, &st);
    else
        problem_reply(r, "not_found", NULL, "job %s has no file \"%.200s\"", j->id, name);
    job_destroy(owned);
}
