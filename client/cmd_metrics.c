#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/url.h"
#include "proto/base/mem.h"

struct metrics {
    const char *id, *split;
    opt_list names;
    bool csv;
};

static const struct opt rows[] = {
    OPT(struct metrics, id, ARG_ONE, "ID", "the job"),
    OPT(struct metrics, names, OPT_MANY, "name",
        "every point of this series: loss/total, top1, norm/ratio, cos/class_mean, ...",
        .value = "N"),
    OPT(struct metrics, split, OPT_TEXT, "split", "only this split: train, val or test",
        .value = "S"),
    OPT(struct metrics, csv, OPT_FLAG, "csv", "all points as CSV: name,split,step,value"),
};

static const struct out_column summary_columns[] = {
    {"NAME", false, false}, {"SPLIT", false, false}, {"POINTS", true, false}, {"STEP", true, false},
    {"LAST", true, false},  {"LEAST", true, false},  {"MOST", true, false},
};

static const struct out_column point_columns[] = {
    {"NAME", false, false},
    {"SPLIT", false, false},
    {"STEP", true, false},
    {"VALUE", true, false},
};

static void add_summary(struct out_table *t, const struct json *series)
{
    const struct json *points = js_get(series, "points");
    size_t n = js_len(points);
    double least = (double)INFINITY, most = -least;

    for (size_t i = 0; i < n; i++) {
        double v = js_real(js_at(js_at(points, i), 1), (double)NAN);

        least = fmin(least, v);
        most = fmax(most, v);
    }
    out_cell(t, "%s", js_string(js_get(series, "name"), ""));
    out_cell(t, "%s", js_string(js_get(series, "split"), ""));
    out_cell(t, "%zu", n);
    out_cell(t, "%" PRId64, n ? js_int(js_at(js_at(points, n - 1), 0), 0) : 0);
    out_cell(t, "%.6g", n ? js_real(js_at(js_at(points, n - 1), 1), (double)NAN) : (double)NAN);
    out_cell(t, "%.6g", least);
    out_cell(t, "%.6g", most);
}

static void add_points(struct out_table *t, const struct json *series)
{
    const struct json *points = js_get(series, "points");

    for (size_t i = 0; i < js_len(points); i++) {
        out_cell(t, "%s", js_string(js_get(series, "name"), ""));
        out_cell(t, "%s", js_string(js_get(series, "split"), ""));
        out_cell(t, "%" PRId64, js_int(js_at(js_at(points, i), 0), 0));
        out_cell(t, "%.9g", js_real(js_at(js_at(points, i), 1), (double)NAN));
    }
}

static void print_series(const struct ctl *c, const struct json *all, bool whole)
{
    struct out_table t = whole ? OUT_TABLE(point_columns) : OUT_TABLE(summary_columns);
    struct buf b = buf_new(0);

    for (size_t i = 0; i < js_len(all); i++)
        (whole ? add_points : add_summary)(&t, js_at(all, i));
    out_table_write(&t, &c->out, &b);
    out_print(&b);
    buf_free(&b);
    out_table_free(&t);
}

static struct json *only_split(const struct json *all, const char *split)
{
    struct json *kept = js_new_array();

    for (size_t i = 0; i < js_len(all); i++)
        if (!split || strcmp(js_string(js_get(js_at(all, i), "split"), ""), split) == 0)
            js_push(kept, js_copy(js_at(all, i)));
    return kept;
}

static bool print_bytes(const char *bytes, size_t len, void *arg, struct error *err)
{
    (void)arg;
    return fwrite(bytes, 1, len, stdout) == len ||
           err_set(err, ERR_IO, "writing to standard output failed");
}

/* As the server writes it. */
static bool print_csv(struct ctl *c, const struct metrics *o, const char *rest, struct error *err)
{
    struct http *h = ctl_http(c, err);
    char *path = url_job(o->id, rest);
    const struct http_request r = {.path = path, .accept = "text/csv", .sink = print_bytes};
    bool ok = h && http_send(h, &r, err);

    free(path);
    return ok;
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct metrics *o = opts;
    struct buf rest = buf_new(0);
    struct json *answer = NULL, *kept;
    bool ok = false;

    if (o->csv && (o->split || c->json))
        return err_set(err, ERR_INVALID, "--csv goes without --%s", o->split ? "split" : "json");
    buf_str(&rest, "/metrics/series");
    for (size_t i = 0; i < o->names.n; i++)
        url_query(&rest, "name", o->names.at[i]);
    if (o->csv)
        ok = print_csv(c, o, buf_text(&rest), err);
    else
        answer = ctl_job(c, NULL, o->id, buf_text(&rest), err);
    buf_free(&rest);
    if (!answer)
        return ok;
    kept = only_split(js_get(answer, "series"), o->split);
    if (c->json) {
        js_set(answer, "series", kept);
        out_json(answer);
    } else {
        print_series(c, kept, o->names.n > 0);
        js_free(kept);
    }
    js_free(answer);
    return true;
}

const struct command cmd_metrics = {
    .name = "metrics",
    .summary = "Print the metrics of a job",
    .text = "Without --name one line for each series, with its last, least and greatest "
            "value.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct metrics),
    .run = run,
};
