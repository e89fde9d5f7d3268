/* datasets: names for data on the daemon's host. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/url.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/table.h"
#include "proto/wire/job.h"

struct datasets {
    const char *action, *name, *source;
    opt_list sets;
};

static const struct opt rows[] = {
    OPT(struct datasets, action, ARG_MAYBE, "ACTION", "list (default), show, add or rm"),
    OPT(struct datasets, name, ARG_MAYBE, "DATASET", "the name"),
    OPT(struct datasets, source, ARG_MAYBE, "SOURCE",
        "add: where the data are, as a job has it: cifar100:DIR, idx:DIR, ..."),
    OPT(struct datasets, sets, OPT_MANY, "set", "add: labels.KEY", .value = "A=VALUE"),
};

static const struct out_column columns[] = {
    {"NAME", false, false},   {"TRAIN", true, false},   {"TEST", true, false},
    {"CLASSES", true, false}, {"SHA256", false, false}, {"AGE", true, false},
    {"SOURCE", false, false},
};

static char *url_of(const char *name)
{
    struct buf b = buf_new(0);

    buf_str(&b, "/api/v1/datasets/");
    url_escape(&b, name);
    return buf_take(&b);
}

static void add_row(struct out_table *t, const struct json *set)
{
    double age = out_age(js_string(js_get(set, "created_at"), NULL), clock_wall_ms());
    char text[OUT_TEXT];

    out_cell(t, "%s", js_string(js_get(set, "name"), "?"));
    out_cell(t, "%lld", (long long)js_int(js_path(set, "manifest.train.images"), 0));
    out_cell(t, "%lld", (long long)js_int(js_path(set, "manifest.test.images"), 0));
    out_cell(t, "%zu", js_len(js_path(set, "manifest.train.classes")));
    out_cell(t, "%.12s", js_string(js_get(set, "sha256"), "?"));
    out_cell(t, "%s", out_duration(age, text));
    out_cell(t, "%s", js_string(js_get(set, "source"), "?"));
}

static bool list(struct ctl *c, const struct datasets *o, struct error *err)
{
    (void)o;
    return ctl_print_list(c, "/api/v1/datasets", OUT_TABLE(columns), add_row, err);
}

static bool show(struct ctl *c, const struct datasets *o, struct error *err)
{
    char *url = url_of(o->name);
    struct json *set = ctl_call(c, NULL, url, NULL, err);

    if (set)
        out_json(set);
    js_free(set);
    free(url);
    return set;
}

/* A relative folder is one of here, as in a job's file. */
static char *absolute(const char *source)
{
    struct json *spec = js_new_object(), *data = js_new_object();
    struct error err;
    char *text;

    js_set(data, "source", js_new_string(source));
    js_set(spec, "data", data);
    job_prepare(spec, "-", NULL, NULL, 0, &err);
    text = str_dup(js_string(js_path(spec, "data.source"), source));
    js_free(spec);
    return text;
}

/* NULL with err. */
static struct json *request_of(const struct datasets *o, struct error *err)
{
    struct json *body = js_new_object();
    char *source = absolute(o->source);
    bool ok = true;

    js_set(body, "name", js_new_string(o->name));
    js_set(body, "source", js_new_string(source));
    free(source);
    for (size_t i = 0; ok && i < o->sets.n; i++)
        ok = job_set(body, o->sets.at[i], err);
    if (ok)
        return body;
    js_free(body);
    return NULL;
}

static bool add(struct ctl *c, const struct datasets *o, struct error *err)
{
    struct http_request r = {.method = "POST", .path = "/api/v1/datasets", .patient = true};
    struct json *body, *set;

    if (!o->source)
        return err_set(err, ERR_INVALID, "datasets add: SOURCE is missing");
    body = request_of(o, err);
    r.body = body;
    set = body ? ctl_ask(c, &r, err) : NULL;
    if (set && c->json)
        out_json(set);
    else if (set)
        printf("%s\n", js_string(js_get(set, "sha256"), ""));
    js_free(set);
    js_free(body);
    return set;
}

static bool rm(struct ctl *c, const struct datasets *o, struct error *err)
{
    char *url = url_of(o->name);
    struct json *answer = ctl_call(c, "DELETE", url, NULL, err);

    js_free(answer);
    free(url);
    return answer;
}

static const struct action {
    const char *name;
    bool named; /* needs a DATASET */
    bool (*run)(struct ctl *c, const struct datasets *o, struct error *err);
} actions[] = {{"list", false, list}, {"show", true, show}, {"add", true, add}, {"rm", true, rm}};

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct datasets *o = opts;
    const char *name = o->action ? o->action : "list";
    const struct action *a = table_find(TABLE(actions), name);

    if (!a)
        return table_unknown(TABLE(actions), "action", name, err);
    if (a->named && !o->name)
        return err_set(err, ERR_INVALID, "datasets %s: DATASET is missing", name);
    return a->run(c, o, err);
}

const struct command cmd_datasets = {
    .name = "datasets",
    .summary = "List, show, add and remove registered data sets",
    .text = "A job uses one as data.source: dataset:NAME. `add` has the server read all of the "
            "data, which stay where they are; a job whose data are no longer those fails with "
            "both hashes.\n",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct datasets),
    .run = run,
};
