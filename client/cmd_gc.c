/* gc: makes a plan of what can be removed, shows it, and has it carried out. */
#include <inttypes.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct gc {
    bool dry_run;
    const char *days;
};

static const struct opt rows[] = {
    OPT(struct gc, dry_run, OPT_FLAG, "dry-run", "only show what would be removed", .letter = 'n'),
    OPT(struct gc, days, OPT_TEXT, "days",
        "also jobs that ended longer ago, instead of the daemon's --retention-days", .value = "N"),
};

static const struct out_column columns[] = {
    {"KIND", false, false},
    {"SIZE", true, false},
    {"NAME", false, false},
    {"WHY", false, false},
};

static void add_row(struct out_table *t, const struct json *item)
{
    char size[OUT_TEXT];

    out_cell(t, "%s", js_string(js_get(item, "kind"), "?"));
    out_cell(t, "%s", out_bytes(js_int(js_get(item, "size_bytes"), -1), size));
    out_cell(t, "%s", js_string(js_get(item, "name"), "?"));
    out_cell(t, "%s", js_string(js_get(item, "reason"), ""));
}

static struct json *ask(struct ctl *c, const char *path, const struct json *body, struct error *err)
{
    struct http_request r = {.method = "POST", .path = path, .body = body, .patient = true};

    return ctl_ask(c, &r, err);
}

static struct json *make_plan(struct ctl *c, const struct gc *o, struct error *err)
{
    struct json *body = js_new_object(), *plan = NULL;
    int64_t days;

    if (o->days && !str_int(o->days, 1, INT32_MAX, &days)) {
        err_set(err, ERR_INVALID, "--days: expected a whole number from 1, got \"%s\"", o->days);
    } else {
        if (o->days)
            js_set(body, "retention_days", js_new_int(days));
        plan = ask(c, "/api/v1/gc:plan", body, err);
    }
    js_free(body);
    return plan;
}

static void show_plan(const struct ctl *c, const struct json *plan)
{
    char size[OUT_TEXT];

    if (js_len(js_get(plan, "items")))
        out_list(OUT_TABLE(columns), js_get(plan, "items"), add_row, &c->out);
    printf("%zu to be removed, %s in %" PRId64 " files%s\n", js_len(js_get(plan, "items")),
           out_bytes(js_int(js_get(plan, "size_bytes"), 0), size), js_int(js_get(plan, "files"), 0),
           js_bool(js_get(plan, "more"), false) ? "; more old jobs follow" : "");
}

static void show_outcome(const struct ctl *c, const struct json *done)
{
    char size[OUT_TEXT];

    if (c->json) {
        out_json_line(done);
        return;
    }
    printf("%" PRId64 " removed, %s; %" PRId64 " left alone, %" PRId64 " failed%s\n",
           js_int(js_get(done, "removed"), 0),
           out_bytes(js_int(js_get(done, "size_bytes"), 0), size),
           js_int(js_get(done, "skipped"), 0), js_int(js_get(done, "failed"), 0),
           js_bool(js_get(done, "stopped"), false) ? "; the daemon stopped in between" : "");
}

static bool carry_out(struct ctl *c, const struct json *plan, struct error *err)
{
    struct json *body = js_new_object(), *done;
    bool ok;

    js_set(body, "plan", js_copy(js_get(plan, "plan")));
    done = ask(c, "/api/v1/gc:run", body, err);
    if (done)
        show_outcome(c, done);
    ok = done && (js_int(js_get(done, "failed"), 0) == 0 ||
                  err_set(err, ERR_FAILED, "not all could be removed; the daemon's log says why"));
    js_free(done);
    js_free(body);
    return ok;
}

/* Of what is too much for one plan the rest comes in the next. */
static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct gc *o = opts;
    bool ok, more = true;

    for (ok = true; ok && more;) {
        struct json *plan = make_plan(c, o, err);

        if (plan && c->json && o->dry_run)
            out_json(plan);
        else if (plan && !c->json)
            show_plan(c, plan);
        more = !o->dry_run && js_bool(js_get(plan, "more"), false);
        ok = plan && (o->dry_run || carry_out(c, plan, err));
        js_free(plan);
    }
    return ok;
}

const struct command cmd_gc = {
    .name = "gc",
    .summary = "Remove what the daemon stores and nobody needs any more",
    .text = "Jobs that ended longer ago than the retention, checkpoints before the newest of jobs "
            "that are over, what workers have kept and not used for long, and what was left by "
            "programs that were killed. What a job needs that is not over stays, and so does what "
            "is registered. A daemon with --retention-days does it by itself every hour.\n",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct gc),
    .run = run,
};
