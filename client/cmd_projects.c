#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/url.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct projects {
    const char *name, *weight, *slots, *queued;
};

static const struct opt rows[] = {
    OPT(struct projects, name, ARG_MAYBE, "NAME", "only this project; options change it"),
    OPT(struct projects, weight, OPT_TEXT, "weight", "of its share of the slots", .value = "W"),
    OPT(struct projects, slots, OPT_TEXT, "slots", "that its jobs may have at once",
        .value = "N|none"),
    OPT(struct projects, queued, OPT_TEXT, "queued",
        "jobs of it that may wait, but those of sweeps", .value = "N|none"),
};

static const struct out_column columns[] = {
    {"PROJECT", false, false}, {"WEIGHT", true, false},       {"USED", true, false},
    {"SLOTS", true, false},    {"MOST SLOTS", true, false},   {"RUNNING", true, false},
    {"WAITING", true, false},  {"MOST WAITING", true, false},
};

static void limit_cell(struct out_table *t, const struct json *limit)
{
    if (js_kind(limit) == JS_INT)
        out_cell(t, "%lld", (long long)js_int(limit, 0));
    else
        out_cell(t, "-");
}

static void add_row(struct out_table *t, const struct json *p)
{
    out_cell(t, "%s", js_string(js_get(p, "name"), "?"));
    out_cell(t, "%g", js_real(js_get(p, "weight"), 1));
    out_cell(t, "%.0f", js_real(js_get(p, "used_slot_s"), 0));
    limit_cell(t, js_get(p, "used_slots"));
    limit_cell(t, js_path(p, "quota.slots"));
    limit_cell(t, js_get(p, "running"));
    limit_cell(t, js_get(p, "waiting"));
    limit_cell(t, js_path(p, "quota.queued"));
}

static void show(const struct ctl *c, const struct json *answer)
{
    struct json *one = NULL;

    if (c->json) {
        out_json(answer);
        return;
    }
    if (!js_get(answer, "items")) {
        one = js_new_array();
        js_push(one, js_copy(answer));
    }
    out_list(OUT_TABLE(columns), one ? one : js_get(answer, "items"), add_row, &c->out);
    js_free(one);
}

/* A member of the project as a word of the command line says; left as it is without one. */
static bool change(struct json *object, const char *key, const char *word, struct error *err)
{
    struct json *value;

    if (!word)
        return true;
    value = strcmp(word, "none") == 0 ? js_new_null() : js_parse(word, strlen(word), NULL);
    if (!value)
        return err_set(err, ERR_INVALID, "--%s: expected a number or none, got \"%s\"", key, word);
    js_set(object, key, value);
    return true;
}

/* A project that nobody has used is as if it were there. */
static struct json *now(struct ctl *c, const char *path, struct error *err)
{
    struct json *p = ctl_call(c, NULL, path, NULL, err), *body = NULL;

    if (!p && err->code != ERR_NOT_FOUND)
        return NULL;
    body = js_new_object();
    js_set(body, "weight", p ? js_copy(js_get(p, "weight")) : js_new_null());
    js_set(body, "quota", p ? js_copy(js_get(p, "quota")) : js_new_object());
    js_free(p);
    return body;
}

static struct json *put(struct ctl *c, const char *path, const struct projects *o,
                        struct error *err)
{
    struct json *body = now(c, path, err), *answer = NULL, *quota = js_get(body, "quota");

    if (body && change(body, "weight", o->weight, err) && change(quota, "slots", o->slots, err) &&
        change(quota, "queued", o->queued, err))
        answer = ctl_call(c, "PUT", path, body, err);
    js_free(body);
    return answer;
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct projects *o = opts;
    bool changes = o->weight || o->slots || o->queued;
    struct buf path = buf_new(0);
    struct json *answer;

    if (changes && !o->name)
        return err_set(err, ERR_INVALID, "which project is to be changed? Say its name");
    buf_str(&path, "/api/v1/projects");
    if (o->name) {
        buf_str(&path, "/");
        url_escape(&path, o->name);
    }
    answer =
        changes ? put(c, buf_text(&path), o, err) : ctl_call(c, NULL, buf_text(&path), NULL, err);
    if (answer)
        show(c, answer);
    js_free(answer);
    buf_free(&path);
    return answer;
}

const struct command cmd_projects = {
    .name = "projects",
    .summary = "List projects, or change what one may use",
    .text =
        "A job names its project (--set project=NAME). Jobs of a project that has used less than "
        "its "
        "weight is due come up to an hour earlier in line, those of others later; what was used "
        "counts half after a week. USED is in slot-seconds.\n",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct projects),
    .run = run,
};
