#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/patience.h"
#include "client/url.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct logs {
    const char *id;
    int64_t rank, tail; /* tail 0: not said */
    const char *grep, *since;
    bool follow;
};

static const struct opt rows[] = {
    OPT(struct logs, id, ARG_ONE, "ID", "the job"),
    OPT(struct logs, rank, OPT_INT, "rank", "the rank whose output is meant", .value = "K",
        .fallback = "0", .hi = 1023),
    OPT(struct logs, tail, OPT_INT, "tail",
        "only the last N lines; 200, unless --since says where to begin", .value = "N", .lo = 1,
        .hi = 1000000),
    OPT(struct logs, grep, OPT_TEXT, "grep", "only lines that hold TEXT, as it is written",
        .value = "TEXT"),
    OPT(struct logs, since, OPT_TEXT, "since",
        "only what was written since then: 30s, 10m, 2h or 1d ago, or a time as in RFC 3339",
        .value = "WHEN"),
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

/* Prints what `query` selects and moves *at to its end; as far as it came when the answer is cut off, if that can be
 * told. */
static bool print_log(struct ctl *c, const struct logs *o, const char *query, int64_t *at,
                      struct error *err)
{
    struct http *h = ctl_http(c, err);
    int64_t found = 0;
    struct http_request r = {
        .accept = "text/plain", .sink = print_bytes, .arg = o->grep ? &found : at};
    struct buf rest = buf_new(0);
    const char *end;
    char *path;
    bool ok;

    buf_fmt(&rest, "/logs?rank=%" PRId64 "%s", o->rank, query);
    url_query(&rest, "grep", o->grep);
    r.path = path = url_job(o->id, buf_text(&rest));
    ok = h && http_send(h, &r, err);
    free(path);
    buf_free(&rest);
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
    snprintf(query, sizeof(query), "&from=%" PRId64, *at);
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

/* "10m": as long ago; or a time. */
static bool parse_when(const char *text, int64_t now_ms, int64_t *ms, struct error *err)
{
    static const struct {
        char letter;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    const size_t digits = strspn(text, "0123456789");
    char *number = str_ndup(text, digits);
    int64_t n = 0;
    bool ok = false;

    if (str_int(number, 0, 1000000, &n) && strlen(text) == digits + 1)
        for (size_t i = 0; !ok && i < ARRAY_LEN(units); i++) {
            ok = text[digits] == units[i].letter;
            *ms = now_ms - n * units[i].ms;
        }
    free(number);
    return ok || clock_parse(text, ms) ||
           err_set(err, ERR_INVALID,
                   "--since: expected 30s, 10m, 2h, 1d or a time such as 2026-01-31T12:00:00Z, got "
                   "\"%s\"",
                   text);
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct logs *o = opts;
    struct buf query = buf_new(0);
    char when[CLOCK_TEXT];
    int64_t at = 0, since;
    bool ok = true;

    if (o->tail)
        buf_fmt(&query, "&tail=%" PRId64, o->tail);
    if (o->since && (ok = parse_when(o->since, clock_wall_ms(), &since, err)))
        buf_fmt(&query, "&since=%s", clock_text(since > 0 ? since : 1, when));
    ok = ok && print_log(c, o, buf_text(&query), &at, err) && (!o->follow || follow(c, o, at, err));
    buf_free(&query);
    return ok;
}

const struct command cmd_logs = {
    .name = "logs",
    .summary = "Print what a job has logged",
    .text =
        "With --follow a daemon that restarts meanwhile is waited for. Lines have no times of "
        "their "
        "own: --since goes by how long the log was, looked up once a second, and so may begin "
        "a second early, in a log that grew for hours by up to a sixtieth of the time since "
        "then; where nobody has looked, it is all of the log. Where the log began anew, because "
        "it was full, --since and --grep look into what came before, too.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct logs),
    .run = run,
};
