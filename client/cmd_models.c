/* models: names and versions of trained weights, kept by the daemon. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/download.h"
#include "client/upload.h"
#include "client/url.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/table.h"
#include "proto/wire/job.h"
#include "proto/wire/ref.h"

struct models {
    const char *action, *name, *file;
    const char *job, *dir;
    opt_list sets;
    bool quiet;
};

static const struct opt rows[] = {
    OPT(struct models, action, ARG_MAYBE, "ACTION", "list (default), show, add, fetch or rm"),
    OPT(struct models, name, ARG_MAYBE, "MODEL",
        "its name; show and fetch take NAME@VERSION for another than the newest, rm needs it"),
    OPT(struct models, file, ARG_MAYBE, "FILE", "add: the weights to upload"),
    OPT(struct models, job, OPT_TEXT, "job", "add: what a job has made, instead of a FILE",
        .value = "ID"),
    OPT(struct models, sets, OPT_MANY, "set",
        "add: labels.KEY; artifact, with --job: best.safetensors or student.onnx; and where a "
        "FILE does not say it: architecture, classes, image_size, mean, std",
        .value = "A=VALUE"),
    OPT(struct models, dir, OPT_TEXT, "out", "fetch: folder to put it in; made if missing",
        .letter = 'o', .value = "DIR", .fallback = "."),
    OPT(struct models, quiet, OPT_FLAG, "quiet", "no progress on standard error", .letter = 'q'),
};

static const struct out_column columns[] = {
    {"MODEL", false, false},  {"KIND", false, false}, {"ARCHITECTURE", false, false},
    {"CLASSES", true, false}, {"SIZE", true, false},  {"TEACHER", false, false},
    {"SHA256", false, false}, {"AGE", true, false},
};

/* -- What the server has ----------------------------------------------------------------------- */

static char *url_of(const char *name, int64_t version, const char *rest)
{
    struct buf b = buf_new(0);

    buf_str(&b, "/api/v1/models/");
    url_escape(&b, name);
    if (version)
        buf_fmt(&b, "/versions/%" PRId64 "%s", version, rest);
    return buf_take(&b);
}

/* What `text` names: {"name", "version", ...}, or NULL. */
static struct json *find(struct ctl *c, const char *text, struct error *err)
{
    struct json *answer, *newest;
    struct ref ref;
    char *url;

    if (!ref_parse_model(text, &ref, err))
        return NULL;
    url = url_of(ref.name, ref.version, "");
    answer = ctl_call(c, NULL, url, NULL, err);
    free(url);
    if (!answer || ref.version)
        return answer;
    newest = js_copy(js_at(js_get(answer, "versions"), 0));
    js_free(answer);
    return newest;
}

/* "big@3"; free() */
static char *title(const struct json *model, const char *name)
{
    return str_fmt("%s@%" PRId64, js_string(js_get(model, name), "?"),
                   js_int(js_get(model, "version"), 0));
}

static char *url_of_model(const struct json *model, const char *rest)
{
    return url_of(js_string(js_get(model, "name"), ""), js_int(js_get(model, "version"), 0), rest);
}

/* -- list, show -------------------------------------------------------------------------------- */

static void add_row(struct out_table *t, const struct json *m)
{
    double age = out_age(js_string(js_get(m, "created_at"), NULL), clock_wall_ms());
    const struct json *teacher = js_path(m, "lineage.teacher");
    char *name = title(m, "name"), *from = title(teacher, "model");
    char text[OUT_TEXT];

    out_cell(t, "%s", name);
    out_cell(t, "%s", js_string(js_get(m, "kind"), "?"));
    out_cell(t, "%s", js_string(js_get(m, "architecture"), "?"));
    if (js_kind(js_get(m, "classes")) == JS_INT)
        out_cell(t, "%lld", (long long)js_int(js_get(m, "classes"), 0));
    else
        out_cell(t, "-");
    out_cell(t, "%s", out_bytes(js_int(js_get(m, "size_bytes"), -1), text));
    out_cell(t, "%s", js_kind(teacher) == JS_OBJECT ? from : "-");
    out_cell(t, "%.12s", js_string(js_get(m, "sha256"), "?"));
    out_cell(t, "%s", out_duration(age, text));
    free(name);
    free(from);
}

static bool list(struct ctl *c, const struct models *o, struct error *err)
{
    (void)o;
    return ctl_print_list(c, "/api/v1/models", OUT_TABLE(columns), add_row, err);
}

/* "big@1 -> small@2 (teacher)" */
static void print_steps(const struct json *steps)
{
    struct buf b = buf_new(0);

    for (size_t i = 0; i < js_len(steps); i++) {
        const struct json *s = js_at(steps, i);

        buf_str(&b, i ? "" : "\n");
        out_clean(&b, js_string(js_get(s, "from"), "?"));
        buf_str(&b, " -> ");
        out_clean(&b, js_string(js_get(s, "to"), "?"));
        buf_str(&b, " (");
        out_clean(&b, js_string(js_get(s, "role"), "?"));
        buf_str(&b, ")\n");
    }
    out_print(&b);
    buf_free(&b);
}

static bool show(struct ctl *c, const struct models *o, struct error *err)
{
    struct json *model = find(c, o->name, err), *family = NULL;
    char *url = model ? url_of_model(model, "/lineage") : NULL;

    if (url)
        family = ctl_call(c, NULL, url, NULL, err);
    if (family && c->json) {
        js_set(model, "family", js_copy(family));
        out_json(model);
    } else if (family) {
        out_json(model);
        print_steps(js_get(family, "steps"));
    }
    free(url);
    js_free(model);
    js_free(family);
    return family;
}

/* -- add --------------------------------------------------------------------------------------- */

/* What is to be registered, but for the file. NULL with err. */
static struct json *request_of(const struct models *o, struct error *err)
{
    struct json *body = js_new_object();

    js_set(body, "name", js_new_string(o->name));
    if (o->job)
        js_set(body, "job", js_new_string(o->job));
    for (size_t i = 0; i < o->sets.n; i++)
        if (!job_set(body, o->sets.at[i], err)) {
            js_free(body);
            return NULL;
        }
    return body;
}

static struct json *register_model(struct ctl *c, const struct models *o, struct error *err)
{
    struct json *body = request_of(o, err), *model = NULL;
    struct http_request r = {
        .method = "POST", .path = "/api/v1/models", .body = body, .patient = true};
    char sha256[SHA256_HEX];

    if (!body)
        return NULL;
    if (o->job || upload(c, o->file, o->quiet || c->json, sha256, err)) {
        if (!o->job)
            js_set(body, "sha256", js_new_string(sha256));
        model = ctl_ask(c, &r, err);
    }
    js_free(body);
    return model;
}

static bool add(struct ctl *c, const struct models *o, struct error *err)
{
    struct json *model;
    char *name;

    if (!o->file == !o->job)
        return err_set(err, ERR_INVALID, "models add: expected either FILE or --job ID");
    model = register_model(c, o, err);
    name = title(model, "name");
    if (model && c->json)
        out_json(model);
    else if (model)
        printf("%s\n", name);
    free(name);
    js_free(model);
    return model;
}

/* -- fetch, rm --------------------------------------------------------------------------------- */

/* "big@3.safetensors", whatever the server says: a name that leads nowhere else. */
static char *file_name(const struct models *o, const struct json *model)
{
    const char *format = js_string(js_get(model, "format"), "");
    struct ref ref = {.name = ""};

    ref_parse_model(o->name, &ref, NULL);
    return str_fmt("%s@%" PRId64 ".%s", ref.name, js_int(js_get(model, "version"), 0),
                   ref_check_name(format, NULL) ? format : "bin");
}

static bool fetch(struct ctl *c, const struct models *o, struct error *err)
{
    struct json *model = find(c, o->name, err);
    char *url = model ? url_of_model(model, "/file") : NULL, *file = file_name(o, model);
    char *path = str_path(o->dir, file);
    const struct download d = {.url = url,
                               .name = file,
                               .path = path,
                               .sha256 = js_string(js_get(model, "sha256"), ""),
                               .quiet = o->quiet || c->json};
    int64_t bytes = 0;
    bool ok = model && file_make_dirs(o->dir, 0777, err) && download(c, &d, &bytes, err);

    if (ok)
        out_file(c->json, path, bytes);
    free(path);
    free(file);
    free(url);
    js_free(model);
    return ok;
}

static bool rm(struct ctl *c, const struct models *o, struct error *err)
{
    struct json *answer;
    struct ref ref;
    char *url;

    if (!ref_parse_model(o->name, &ref, err))
        return false;
    if (!ref.version)
        return err_set(err, ERR_INVALID, "models rm: expected %s@VERSION", ref.name);
    url = url_of(ref.name, ref.version, "");
    answer = ctl_call(c, "DELETE", url, NULL, err);
    js_free(answer);
    free(url);
    return answer;
}

static const struct action {
    const char *name;
    bool named; /* needs a MODEL */
    bool (*run)(struct ctl *c, const struct models *o, struct error *err);
} actions[] = {{"list", false, list},
               {"show", true, show},
               {"add", true, add},
               {"fetch", true, fetch},
               {"rm", true, rm}};

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct models *o = opts;
    const char *name = o->action ? o->action : "list";
    const struct action *a = table_find(TABLE(actions), name);

    if (!a)
        return table_unknown(TABLE(actions), "action", name, err);
    if (a->named && !o->name)
        return err_set(err, ERR_INVALID, "models %s: MODEL is missing", name);
    return a->run(c, o, err);
}

const struct command cmd_models = {
    .name = "models",
    .summary = "List, show, add, fetch and remove registered models",
    .text = "A job uses one as teacher.weights or student.weights: model:NAME or "
            "model:NAME@VERSION. `add` gives a name its next version, from a FILE, whose upload "
            "goes on where it was cut off, or from a job; the same content is no new version. "
            "`show` also prints which models it comes from and which come from it. What `fetch` "
            "prints has the hash that was registered.\n",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct models),
    .run = run,
};
