#include <math.h>
#include <stdlib.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/url.h"
#include "client/view.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct list {
    const char *sweep, *project, *owner, *state, *q, *after, *before;
};

static const struct opt rows[] = {
    OPT(struct list, sweep, OPT_TEXT, "sweep", "only the jobs that this sweep has made",
        .value = "ID"),
    OPT(struct list, project, OPT_TEXT, "project", "only the jobs of this project",
        .value = "NAME"),
    OPT(struct list, owner, OPT_TEXT, "owner", "only the jobs that this caller has brought",
        .value = "CALLER"),
    OPT(struct list, state, OPT_TEXT, "state", "only jobs in this state", .value = "STATE"),
    OPT(struct list, q, OPT_TEXT, "search",
        "only jobs with this in their name, or whose id begins so", .value = "TEXT"),
    OPT(struct list, after, OPT_TEXT, "after", "only jobs that came later, as 2026-01-31T12:00:00Z",
        .value = "TIME"),
    OPT(struct list, before, OPT_TEXT, "before", "only jobs that came earlier", .value = "TIME"),
};

static const struct out_column columns[] = {
    {"ID", false, false},  {"NAME", false, false}, {"KIND", false, false}, {"STATE", false, true},
    {"DONE", true, false}, {"ETA", true, false},   {"AGE", true, false},
};

static void add_row(struct out_table *t, const struct json *job)
{
    struct view v;
    double done;
    char text[OUT_TEXT];

    view_init(&v);
    view_job(&v, job);
    done = view_fraction(&v);
    out_cell(t, "%s", v.id);
    out_cell(t, "%s", v.name);
    out_cell(t, "%s", v.sweep ? "sweep" : v.kind);
    out_cell(t, "%s", v.state);
    if (isfinite(done))
        out_cell(t, "%.0f %%", floor(100 * done));
    else
        out_cell(t, "-");
    out_cell(t, "%s", out_duration(v.finished ? (double)NAN : v.eta_s, text));
    out_cell(
        t, "%s",
        out_duration(out_age(js_string(js_get(job, "created_at"), NULL), clock_wall_ms()), text));
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct list *o = opts;
    struct buf path = buf_new(0);
    bool ok;

    buf_str(&path, "/api/v1/jobs");
    url_query(&path, "sweep", o->sweep);
    url_query(&path, "project", o->project);
    url_query(&path, "owner", o->owner);
    url_query(&path, "state", o->state);
    url_query(&path, "q", o->q);
    url_query(&path, "created_after", o->after);
    url_query(&path, "created_before", o->before);
    ok = ctl_print_list(c, buf_text(&path), OUT_TABLE(columns), add_row, err);
    buf_free(&path);
    return ok;
}

const struct command cmd_list = {
    .name = "list",
    .summary = "List the jobs, newest first",
    .text =
        "The jobs that a sweep has made are left out, unless --sweep asks for them.\n\n"
        "CALLER is a token's id, \"root\", or \"uid:N\" for a user of the coordinator's machine.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct list),
    .run = run,
};
