#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/view.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct show {
    const char *id;
};

static const struct opt rows[] = {
    OPT(struct show, id, ARG_ONE, "ID", "the job"),
};

enum {
    LABEL_WIDTH = 26
};

static void add_line(struct buf *b, const char *label, const char *text)
{
    buf_fmt(b, "%-*s ", LABEL_WIDTH, label);
    out_clean(b, text);
    buf_str(b, "\n");
}

/* Any JSON value in one line, a string without quotes; nothing for null. */
static void add_value(struct buf *b, const char *label, const struct json *j)
{
    char *text;

    if (js_kind(j) == JS_NULL)
        return;
    text = js_kind(j) == JS_STRING ? str_dup(js_string(j, "")) : js_text(j, JS_COMPACT);
    add_line(b, label, text);
    free(text);
}

/* "2026-01-31T12:00:00.123Z (3m25s ago)", or "(in 3m25s)" */
static void add_time(struct buf *b, const char *label, const struct json *time)
{
    const char *at = js_string(time, NULL);
    char text[OUT_TEXT], *line;
    double age;

    if (!at)
        return;
    age = out_age(at, clock_wall_ms());
    line = age < 0 ? str_fmt("%s (in %s)", at, out_duration(-age, text))
                   : str_fmt("%s (%s ago)", at, out_duration(age, text));
    add_line(b, label, line);
    free(line);
}

/* "between 1 and 4, as slots are free"; nothing where they are not left to the queue */
static void add_elastic(struct buf *b, const char *label, const struct json *range)
{
    char *text;

    if (js_kind(range) != JS_OBJECT)
        return;
    text = str_fmt("between %" PRId64 " and %" PRId64 ", as slots are free",
                   js_int(js_get(range, "min"), 0), js_int(js_get(range, "max"), 0));
    add_line(b, label, text);
    free(text);
}

/* "infra 1, hang 2"; nothing for none */
static void add_counts(struct buf *b, const char *label, const struct json *counts)
{
    struct buf line = buf_new(0);

    for (void *it = js_first(counts); it; it = js_next(counts, it))
        buf_fmt(&line, "%s%s %" PRId64, line.len ? ", " : "", js_key(it), js_int(js_value(it), 0));
    if (line.len)
        add_line(b, label, buf_text(&line));
    buf_free(&line);
}

/* "1 x ce + 2 x nd" */
static void add_losses(struct buf *b, const struct json *losses)
{
    struct buf line = buf_new(0);

    for (size_t i = 0; i < js_len(losses); i++) {
        const struct json *l = js_at(losses, i);

        buf_fmt(&line, "%s%g x %s", i ? " + " : "", js_real(js_get(l, "weight"), 1),
                js_string(js_get(l, "kind"), "?"));
    }
    if (line.len)
        add_line(b, "losses", buf_text(&line));
    buf_free(&line);
}

/* The members of result.json; those of inner objects as "outer.inner". */
static void add_result(struct buf *b, const char *outer, const struct json *result)
{
    for (void *it = js_first(result); it; it = js_next(result, it)) {
        char *label = str_fmt("%s.%s", outer, js_key(it));

        if (js_kind(js_value(it)) == JS_OBJECT)
            add_result(b, label, js_value(it));
        else
            add_value(b, label, js_value(it));
        free(label);
    }
}

static void add_progress(struct buf *b, const struct json *job)
{
    struct buf line = buf_new(0);
    struct view v;

    view_init(&v);
    view_job(&v, job);
    view_progress(&v, false, &line);
    add_line(b, "progress", buf_text(&line) + strspn(buf_text(&line), " "));
    buf_free(&line);
}

static void describe(const struct json *job, struct buf *b)
{
    static const struct {
        const char *label, *path;
        void (*add)(struct buf *b, const char *label, const struct json *value);
    } facts[] = {
        {"id", "id", add_value},
        {"name", "name", add_value},
        {"kind", "kind", add_value},
        {"project", "project", add_value},
        {"owner", "owner", add_value},
        {"state", "state", add_value},
        {"reason", "reason.code", add_value},
        {"", "reason.message", add_value},
        {"cloned from", "cloned_from", add_value},
        {"created", "created_at", add_time},
        {"started", "started_at", add_time},
        {"finished", "finished_at", add_time},
        {"not before", "not_before", add_time},
        {"planned start", "planned_start", add_time},
        {"attempt", "attempt", add_value},
        {"failures", "failures", add_counts},
        {"ranks", "ranks", add_value},
        {"", "elastic", add_elastic},
        {"data", "spec.data.source", add_value},
        {"classes", "spec.data.classes", add_value},
        {"teacher", "spec.teacher.model", add_value},
        {"student", "spec.student.model", add_value},
        {"epochs", "spec.train.epochs", add_value},
        {"batch", "spec.train.batch", add_value},
        {"seed", "spec.train.seed", add_value},
        {"sweep", "sweep", add_result},
        {"result", "result", add_result},
    };

    for (size_t i = 0; i < ARRAY_LEN(facts); i++)
        facts[i].add(b, facts[i].label, js_path(job, facts[i].path));
    add_losses(b, js_path(job, "spec.losses"));
    add_progress(b, job);
}

/* The files of a job that made none yet, or cannot be asked, are no reason to fail. */
static void add_files(struct ctl *c, const char *id, struct buf *b)
{
    struct json *answer = ctl_job(c, NULL, id, "/artifacts", NULL);
    const struct json *items = js_get(answer, "items");
    char size[OUT_TEXT];

    for (size_t i = 0; i < js_len(items); i++) {
        const struct json *f = js_at(items, i);
        char *line = str_fmt("%s (%s)", js_string(js_get(f, "name"), "?"),
                             out_bytes(js_int(js_get(f, "size_bytes"), -1), size));

        add_line(b, i ? "" : "files", line);
        free(line);
    }
    js_free(answer);
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct show *o = opts;
    struct json *job = ctl_job(c, NULL, o->id, "", err);
    struct buf b = buf_new(0);

    if (job && c->json) {
        out_json(job);
    } else if (job) {
        describe(job, &b);
        add_files(c, o->id, &b);
        out_print(&b);
    }
    buf_free(&b);
    js_free(job);
    return job;
}

const struct command cmd_show = {
    .name = "show",
    .summary = "Show everything about a job",
    .text = "With --json this is the job object of the API, with spec and result.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct show),
    .run = run,
};
