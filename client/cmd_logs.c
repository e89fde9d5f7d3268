#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/url.h"
#include "proto/base/mem.h"

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
    (void)arg;
    return fwrite(bytes, 1, len, stdout) == len ||
           err_set(err, ERR_IO, "writing to standard output failed");
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct logs *o = opts;
    struct http *h = ctl_http(c, err);
    struct http_request r = {.accept = "text/plain", .sink = print_bytes};
    char rest[80], *path;
    bool ok;

    snprintf(rest, sizeof(rest), "/logs?rank=%" PRId64 "&tail=%" PRId64, o->rank, o->tail);
    r.path = path = url_job(o->id, rest);
    ok = h && http_send(h, &r, err);
    free(path);
    return ok;
}

const struct command cmd_logs = {
    .name = "logs",
    .summary = "Print what a job has logged",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct logs),
    .run = run,
};
