/* checkpoints: what a job can go on from, and which of it is kept. */
#include <stdlib.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/url.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/table.h"

struct checkpoints {
    const char *id, *action, *name;
};

static const struct opt rows[] = {
    OPT(struct checkpoints, id, ARG_ONE, "ID", "the job"),
    OPT(struct checkpoints, action, ARG_MAYBE, "CHANGE",
        "pin, unpin or rm; list them, if left out"),
    OPT(struct checkpoints, name, ARG_MAYBE, "CHECKPOINT", "its name, as in the list"),
};

static const struct out_column columns[] = {
    {"CHECKPOINT", false, false}, {"STEP", true, false},  {"SIZE", true, false},
    {"AGE", true, false},         {"KEPT", false, false}, {"SHA256", false, false},
};

static void add_row(struct out_table *t, const struct json *item)
{
    double age = out_age(js_string(js_get(item, "created_at"), NULL), clock_wall_ms());
    bool newest = js_bool(js_get(item, "newest"), false);
    bool pinned = js_bool(js_get(item, "pinned"), false);
    char text[OUT_TEXT];

    out_cell(t, "%s", js_string(js_get(item, "name"), "?"));
    out_cell(t, "%lld", (long long)js_int(js_get(item, "step"), 0));
    out_cell(t, "%s", out_bytes(js_int(js_get(item, "size_bytes"), -1), text));
    out_cell(t, "%s", out_duration(age, text));
    out_cell(t, "%s%s%s", newest ? "newest" : "", newest && pinned ? ", " : "",
             pinned ? "pinned" : "");
    out_cell(t, "%.12s", js_string(js_get(item, "sha256"), "-"));
}

static bool list(struct ctl *c, const struct checkpoints *o, struct error *err)
{
    struct json *answer = ctl_job(c, NULL, o->id, "/checkpoints", err);

    if (answer && c->json)
        out_json(answer);
    else if (answer)
        out_list(OUT_TABLE(columns), js_get(answer, "items"), add_row, &c->out);
    js_free(answer);
    return answer;
}

static bool ask(struct ctl *c, const struct checkpoints *o, const char *method,
                const struct json *body, struct error *err)
{
    struct buf rest = buf_new(0);
    struct json *answer;
    char *path;

    buf_str(&rest, "/checkpoints/");
    url_escape(&rest, o->name);
    path = url_job(o->id, buf_text(&rest));
    answer = ctl_call(c, method, path, body, err);
    free(path);
    if (answer && c->json && js_kind(answer) == JS_OBJECT)
        out_json_line(answer);
    js_free(answer);
    buf_free(&rest);
    return answer;
}

static bool set_pinned(struct ctl *c, const struct checkpoints *o, bool pinned, struct error *err)
{
    struct json *body = js_new_object();
    bool ok;

    js_set(body, "pinned", js_new_bool(pinned));
    ok = ask(c, o, "PATCH", body, err);
    js_free(body);
    return ok;
}

static bool pin(struct ctl *c, const struct checkpoints *o, struct error *err)
{
    return set_pinned(c, o, true, err);
}

static bool unpin(struct ctl *c, const struct checkpoints *o, struct error *err)
{
    return set_pinned(c, o, false, err);
}

static bool rm(struct ctl *c, const struct checkpoints *o, struct error *err)
{
    return ask(c, o, "DELETE", NULL, err);
}

static const struct action {
    const char *name;
    bool (*run)(struct ctl *c, const struct checkpoints *o, struct error *err);
} actions[] = {{"pin", pin}, {"unpin", unpin}, {"rm", rm}};

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct checkpoints *o = opts;
    const struct action *a;

    if (!o->action)
        return list(c, o, err);
    a = table_find(TABLE(actions), o->action);
    if (!a)
        return table_unknown(TABLE(actions), "change", o->action, err);
    if (!o->name)
        return err_set(err, ERR_INVALID, "checkpoints %s %s: CHECKPOINT is missing", o->id,
                       a->name);
    return a->run(c, o, err);
}

const struct command cmd_checkpoints = {
    .name = "checkpoints",
    .summary = "List, pin, unpin and remove the checkpoints of a job",
    .text =
        "One that is pinned stays, whatever checkpoint.keep says, until it is unpinned or the job "
        "is removed. The newest of a job that is not over cannot be removed.\n",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct checkpoints),
    .run = run,
};
