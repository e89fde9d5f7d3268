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
    const char *sweep;
};

static const struct opt rows[] = {
    OPT(struct list, sweep, OPT_TEXT, "sweep", "only the jobs that this sweep has made",
        .value = "ID"),
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

/* Adds the jobs of one page to `all`; the token of the next page, or NULL with or without err. */
static char *read_page(struct ctl *c, const struct list *o, const char *token, struct json *all,
                       struct error *err)
{
    struct buf path = buf_new(0);
    struct json *page;
    const char *next;
    char *copy;

    buf_str(&path, "/api/v1/jobs");
    url_query(&path, "sweep", o->sweep);
    url_query(&path, "page_token", token);
    page = ctl_call(c, NULL, buf_text(&path), NULL, err);
    for (size_t i = 0; i < js_len(js_get(page, "items")); i++)
        js_push(all, js_copy(js_at(js_get(page, "items"), i)));
    next = js_string(js_get(page, "next_page_token"), NULL);
    copy = next ? str_dup(next) : NULL;
    js_free(page);
    buf_free(&path);
    return copy;
}

static bool read_all(struct ctl *c, const struct list *o, struct json *all, struct error *err)
{
    char *token = NULL;

    err_clear(err);
    do {
        char *next = read_page(c, o, token, all, err);

        free(token);
        token = next;
    } while (token);
    return err->code == ERR_NONE;
}

static void print_table(const struct ctl *c, const struct json *jobs)
{
    struct out_table t = OUT_TABLE(columns);
    struct buf b = buf_new(0);

    for (size_t i = 0; i < js_len(jobs); i++)
        add_row(&t, js_at(jobs, i));
    out_table_write(&t, &c->out, &b);
    out_print(&b);
    buf_free(&b);
    out_table_free(&t);
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    struct json *all = js_new_object(), *items = js_new_array();
    bool ok;

    js_set(all, "items", items);
    ok = read_all(c, opts, items, err);
    if (ok && c->json)
        out_json(all);
    else if (ok)
        print_table(c, items);
    js_free(all);
    return ok;
}

const struct command cmd_list = {
    .name = "list",
    .summary = "List the jobs, newest first",
    .text = "The jobs that a sweep has made are left out, unless --sweep asks for them.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct list),
    .run = run,
};
