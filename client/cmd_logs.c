#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/patience.h"
#include "client/url.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct logs {
    const char *id;
    int64_t rank, tail;
    bool follow;
};

static const struct opt rows[] = {
    OPT(struct logs, id, ARG_ONE, "ID", "the job"),
    OPT(struct logs, rank, OPT_INT, "rank", "the rank whose output is meant", .value = "K",
        .fallback = "0", .hi = 1023),
    OPT(struct logs, tail, OPT_INT, "tail", "only the last N lines", .value = "N",
        .fallback = "200", .lo = 1, .hi = 1000000),
    OPT(struct logs, follow, OPT_FLAG, "follow", "go on with new lines until the job has ended",
        .letter = 'f'),
};

static bool print_bytes(const char *bytes, size_t len, void *arg, struct error *err)
{
    int64_t *printed = arg;

    *printed += (int64_t)len;
    return fwrite(bytes, 1, len, stdout) == len ||
           err_set(err, ERR_IO, "writing to standard output failed");
}

/* Prints what `query` selects and moves *at to its end; as far as it came when the answer is cut off. */
static bool print_log(struct ctl *c, const struct logs *o, const char *query, int64_t *at,
                      struct error *err)
{
    struct http *h = ctl_http(c, err);
    struct http_request r = {.accept = "text/plain", .sink = print_bytes, .arg = at};
    char rest[96], *path;
    const char *end;
    bool ok;

    snprintf(rest, sizeof(rest), "/logs?rank=%" PRId64 "&%s", o->rank, query);
    r.path = path = url_job(o->id, rest);
    ok = h && http_send(h, &r, err);
    free(path);
    if (!ok)
        return false;
    end = http_answer_header(h, "Log-End");
    return (end && str_int(end, 0, INT64_MAX, at)) ||
           err_set(err, ERR_FAILED, "%s did not say where the log ends", c->base);
}

static bool is_over(struct ctl *c, const char *id, bool *over, struct error *err)
{
    struct json *job = ctl_job(c, NULL, id, "", err);

    if (!job)
        return false;
    *over = js_string(js_get(job, "finished_at"), NULL) != NULL;
    js_free(job);
    return true;
}

/* New lines, and whether they were the last. */
static bool print_more(struct ctl *c, const struct logs *o, int64_t *at, bool *over,
                       struct error *err)
{
    char query[40];

    if (!is_over(c, o->id, over, err))
        return false;
    snprintf(query, sizeof(query), "from=%" PRId64, *at);
    return print_log(c, o, query, at, err) && fflush(stdout) == 0;
}

/* New lines once a second, and once more when the job has ended; a server that is away is waited for. */
static bool follow(struct ctl *c, const struct logs *o, int64_t at, struct error *err)
{
    struct patience patience = {0};
    bool over;

    for (;;) {
        if (print_more(c, o, &at, &over, err)) {
            if (over)
                return true;
            patience = (struct patience){0};
            nanosleep(&(struct timespec){1, 0}, NULL);
        } else {
            if (!patience_left(&patience, err))
                return false;
            patience_wait(&patience);
            ctl_renew(c);
        }
    }
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct logs *o = opts;
    char query[40];
    int64_t at = 0;

    snprintf(query, sizeof(query), "tail=%" PRId64, o->tail);
    return print_log(c, o, query, &at, err) && (!o->follow || follow(c, o, at, err));
}

const struct command cmd_logs = {
    .name = "logs",
    .summary = "Print what a job has logged",
    .text = "With --follow a daemon that restarts meanwhile is waited for.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct logs),
    .run = run,
};
