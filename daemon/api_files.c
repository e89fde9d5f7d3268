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
#include "proto/base/str.h"

enum {
    TAIL_DEFAULT = 200,
    TAIL_MAX = 1000000,
    RANK_MAX = 65535,
    TAIL_BYTES = 8 << 20, /* a longer tail is cut off in front */
    BLOCK = 64 << 10
};

static const char text_type[] = "text/plain; charset=utf-8";

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

/* Half-written files have names of their own. */
static int is_finished(const struct dirent *e)
{
    return e->d_name[0] != '.' && !strstr(e->d_name, ".tmp-");
}

/* The entries of a folder in there, which may be none; as scandir. */
static int scan(int dir, const char *folder, struct dirent ***entries,
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
    int n = scan(dir, folder, &entries, is_finished, alphasort);

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
           !strstr(name, ".tmp-");
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

/* -- Logs -------------------------------------------------------------------------------------- */

/* Where the last `lines` lines begin. */
static int64_t tail_start(int fd, int64_t size, int64_t lines)
{
    char *block;
    int64_t at = size, start = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    bool found = false;

    if (lines == 0)
        return size;
    block = mem_calloc(BLOCK, 1);
    /* The newline that ends the last line does not begin another one. */
    for (int64_t seen = -1; !found && at > start;) {
        int64_t n = at - start < BLOCK ? at - start : BLOCK;

        at -= n;
        if (pread(fd, block, (size_t)n, at) != n)
            break;
        for (int64_t i = n; !found && i-- > 0;)
            if (block[i] == '\n' || (seen < 0 && at + i == size - 1)) {
                found = ++seen == lines;
                if (found)
                    start = at + i + 1;
            }
    }
    free(block);
    return start;
}

static void reply_log(struct request *r, int fd, int64_t size, int64_t tail, int64_t from)
{
    /* What began anew (logfile.h) is shorter than it was, and all of it is news. */
    int64_t start = from < 0 ? tail_start(fd, size, tail) : from <= size ? from : 0;
    char *end = str_fmt("%" PRId64, size);

    /* ?from= of the next request goes on here. */
    http_add_header(r, "Log-End", end);
    http_add_header(r, "Cache-Control", "no-store");
    http_reply_file(r, 200, text_type, fd, (uint64_t)start, (uint64_t)(size - start));
    free(end);
}

static int is_log(const struct dirent *e)
{
    return str_starts(e->d_name, "rank-") && str_ends(e->d_name, ".log");
}

/* "0, 1": the ranks that have a log. */
static char *ranks_with_logs(int dir)
{
    struct dirent **entries;
    int n = scan(dir, "logs", &entries, is_log, versionsort);
    struct buf b = buf_new(0);

    for (int i = 0; i < n; i++) {
        const char *number = entries[i]->d_name + strlen("rank-");

        buf_fmt(&b, "%s%.*s", i ? ", " : "", (int)strcspn(number, "."), number);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return buf_take(&b);
}

/* A rank of the job that has not written yet may do so; any other has no log. */
static void reply_no_log(struct request *r, const struct job *j, int dir, int64_t rank)
{
    char *have;

    if (rank < j->ranks) {
        http_add_header(r, "Log-End", "0");
        http_reply(r, 200, text_type, "", 0);
        return;
    }
    have = ranks_with_logs(dir);
    problem_reply(r, "not_found", NULL,
                  "job %s has %" PRId64 " rank%s and no log of rank %" PRId64 "; %s%s", j->id,
                  j->ranks, j->ranks == 1 ? "" : "s", rank,
                  *have ? "there are logs of: " : "nothing is logged yet", have);
    free(have);
}

void api_job_logs(struct daemon *d, struct request *r)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);
    int64_t rank, tail, from;
    struct stat st;
    char *name;
    int dir, fd;

    if (!j)
        return;
    if (!api_number(r, "rank", 0, RANK_MAX, 0, &rank) ||
        !api_number(r, "tail", 0, TAIL_MAX, TAIL_DEFAULT, &tail) ||
        !api_number(r, "from", 0, INT64_MAX, -1, &from)) {
        job_destroy(owned);
        return;
    }
    name = str_fmt("logs/rank-%" PRId64 ".log", rank);
    dir = daemon_open_out(d, j->id, NULL);
    fd = dir >= 0 ? beneath_open_file(dir, name, &st, NULL) : -1;
    if (fd >= 0)
        reply_log(r, fd, st.st_size, tail, from);
    else
        reply_no_log(r, j, dir, rank);
    if (dir >= 0)
        close(dir);
    free(name);
    job_destroy(owned);
}
