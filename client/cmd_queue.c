#include "client/cmd.h"
#include "client/ctl.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"

static const struct out_column columns[] = {
    {"PLACE", true, false},     {"ID", false, false},      {"NAME", false, false},
    {"PROJECT", false, false},  {"PRIORITY", true, false}, {"RANKS", true, false},
    {"STARTS IN", true, false}, {"WHY", false, false},
};

static void add_row(struct out_table *t, const struct json *job)
{
    const int64_t place = js_int(js_get(job, "place"), 0);
    const double age = out_age(js_string(js_get(job, "planned_start"), NULL), clock_wall_ms());
    char text[OUT_TEXT];

    if (place)
        out_cell(t, "%lld", (long long)place);
    else
        out_cell(t, "-");
    out_cell(t, "%s", js_string(js_get(job, "id"), "?"));
    out_cell(t, "%s", js_string(js_get(job, "name"), ""));
    out_cell(t, "%s", js_string(js_get(job, "project"), ""));
    out_cell(t, "%lld", (long long)js_int(js_get(job, "priority"), 0));
    out_cell(t, "%lld", (long long)js_int(js_get(job, "ranks"), 0));
    out_cell(t, "%s", out_duration(-age, text));
    out_cell(t, "%s", js_string(js_path(job, "reason.message"), ""));
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    (void)opts;
    return ctl_print_list(c, "/api/v1/queue", OUT_TABLE(columns), add_row, err);
}

const struct command cmd_queue = {
    .name = "queue",
    .summary = "List the jobs that wait, in the order in which they are to start, and why",
    .text = "Those without a place wait for something else than slots.\n",
    .run = run,
};
