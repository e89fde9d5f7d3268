/* token: who else may ask the server, and for what. */
#include <inttypes.h>
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

struct token {
    const char *action, *which, *scope, *project;
    double days, overlap_s;
};

static const struct opt rows[] = {
    OPT(struct token, action, ARG_MAYBE, "WHAT", "list (default), create, revoke or rotate"),
    OPT(struct token, which, ARG_MAYBE, "TOKEN",
        "create: a name to know it by; revoke and rotate: the id"),
    OPT(struct token, scope, OPT_TEXT, "scope",
        "create: what it may do, each with all before it: read, submit (jobs, models, data), "
        "operate (queue, removal), admin (tokens, audit log, gc)",
        .value = "SCOPE", .fallback = "read"),
    OPT(struct token, project, OPT_TEXT, "project",
        "create: it sees and touches only the jobs of this project (default: all)",
        .value = "NAME"),
    OPT(struct token, days, OPT_REAL, "days", "create: it ends after so many, at most 365",
        .value = "N", .fallback = "90"),
    OPT(struct token, overlap_s, OPT_REAL, "overlap",
        "rotate: seconds for which the old secret goes on working, at most a week", .value = "S",
        .fallback = "0"),
};

static const struct out_column columns[] = {
    {"ID", false, false},        {"NAME", false, false},  {"SCOPE", false, false},
    {"PROJECT", false, false},   {"STATE", false, false}, {"EXPIRES", false, false},
    {"LAST USED", false, false},
};

static void add_row(struct out_table *t, const struct json *token)
{
    out_cell(t, "%s", js_string(js_get(token, "id"), "?"));
    out_cell(t, "%s", js_string(js_get(token, "name"), "?"));
    out_cell(t, "%s", js_string(js_get(token, "scope"), "?"));
    out_cell(t, "%s", js_string(js_get(token, "project"), "-"));
    out_cell(t, "%s", js_string(js_get(token, "state"), "?"));
    out_cell(t, "%.10s", js_string(js_get(token, "expires_at"), "-"));
    out_cell(t, "%.19s", js_string(js_get(token, "last_used_at"), "-"));
}

static bool list(struct ctl *c, const struct token *o, struct error *err)
{
    (void)o;
    return ctl_print_list(c, "/api/v1/tokens", OUT_TABLE(columns), add_row, err);
}

/* The secret alone, for a file; the rest goes to people. */
static void show_secret(const struct ctl *c, const struct json *token)
{
    const char *project = js_string(js_get(token, "project"), NULL);

    if (c->json) {
        out_json(token);
        return;
    }
    fprintf(stderr, "token %s, scope %s%s%s, until %.10s; it is shown this once:\n",
            js_string(js_get(token, "id"), "?"), js_string(js_get(token, "scope"), "?"),
            project ? ", project " : "", project ? project : "",
            js_string(js_get(token, "expires_at"), "?"));
    printf("%s\n", js_string(js_get(token, "token"), ""));
}

static bool ask_secret(struct ctl *c, const char *path, struct json *take_body, struct error *err)
{
    struct json *token = ctl_call(c, "POST", path, take_body, err);

    if (token)
        show_secret(c, token);
    js_free(token);
    js_free(take_body);
    return token;
}

/* `to` is "" or a verb. free() */
static char *url_of(const char *id, const char *to)
{
    struct buf b = buf_new(0);

    buf_str(&b, "/api/v1/tokens/");
    url_escape(&b, id);
    buf_str(&b, to);
    return buf_take(&b);
}

static bool create(struct ctl *c, const struct token *o, struct error *err)
{
    struct json *body = js_new_object();

    js_set(body, "name", js_new_string(o->which));
    js_set(body, "scope", js_new_string(o->scope));
    if (o->project)
        js_set(body, "project", js_new_string(o->project));
    js_set(body, "expires_in_s", js_new_int((int64_t)fmin(o->days * 24 * 3600, 1e15)));
    return ask_secret(c, "/api/v1/tokens", body, err);
}

static bool rotate(struct ctl *c, const struct token *o, struct error *err)
{
    struct json *body = js_new_object();
    char *url = url_of(o->which, ":rotate");
    bool ok;

    js_set(body, "overlap_s", js_new_int((int64_t)fmin(o->overlap_s, 1e15)));
    ok = ask_secret(c, url, body, err);
    free(url);
    return ok;
}

static bool revoke(struct ctl *c, const struct token *o, struct error *err)
{
    char *url = url_of(o->which, "");
    struct json *answer = ctl_call(c, "DELETE", url, NULL, err);

    js_free(answer);
    free(url);
    return answer;
}

static const struct action {
    const char *name;
    const char *needs; /* what TOKEN is; NULL: nothing */
    bool (*run)(struct ctl *c, const struct token *o, struct error *err);
} actions[] = {{"list", NULL, list},
               {"create", "NAME", create},
               {"revoke", "ID", revoke},
               {"rotate", "ID", rotate}};

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct token *o = opts;
    const char *name = o->action ? o->action : "list";
    const struct action *a = table_find(TABLE(actions), name);

    if (!a)
        return table_unknown(TABLE(actions), "action", name, err);
    if (a->needs && !o->which)
        return err_set(err, ERR_INVALID, "token %s: %s is missing", name, a->needs);
    return a->run(c, o, err);
}

const struct command cmd_token = {
    .name = "token",
    .summary = "List, create, revoke and rotate access tokens",
    .text =
        "`create` and `rotate` print the secret on standard output, once: the server keeps only "
        "its hash. Put it into a file of mode 0600 and name that with --token-file. A token that "
        "is revoked, or over, ends event streams and browser sessions that were opened with "
        "it.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct token),
    .run = run,
};
