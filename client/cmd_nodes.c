#include <math.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"

static const struct out_column columns[] = {
    {"HOST", false, false}, {"SLOTS", true, false}, {"USED", true, false},
    {"STATE", false, true}, {"SINCE", true, false}, {"REASON", false, false},
};

static void add_row(struct out_table *t, const struct json *node)
{
    double age = out_age(js_string(js_get(node, "since"), NULL), clock_wall_ms());
    char text[OUT_TEXT];

    out_cell(t, "%s", js_string(js_get(node, "name"), "?"));
    out_cell(t, "%lld", (long long)js_int(js_get(node, "slots"), 0));
    out_cell(t, "%lld", (long long)js_int(js_get(node, "used"), 0));
    out_cell(t, "%s", js_string(js_get(node, "state"), "?"));
    out_cell(t, "%s", out_duration(age, text));
    out_cell(t, "%s", js_string(js_get(node, "reason"), ""));
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    struct json *nodes = ctl_call(c, NULL, "/api/v1/nodes", NULL, err);

    (void)opts;
    if (nodes && c->json)
        out_json(nodes);
    else if (nodes)
        out_list(OUT_TABLE(columns), js_get(nodes, "items"), add_row, &c->out);
    js_free(nodes);
    return nodes;
}

const struct command cmd_nodes = {
    .name = "nodes",
    .summary = "List the hosts for jobs: slots, and whether they are up",
    .run = run,
};
