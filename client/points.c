#include "client/points.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/out.h"
#include "client/url.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    VALUE_WIDTH = 40 /* of a list of losses, for example, the beginning */
};

/* -- Asking --------------------------------------------------------------------------------------- */

static struct json *ask(struct ctl *c, const char *id, const opt_list *figures, int64_t first,
                        struct error *err)
{
    char *from = str_fmt("%" PRId64, first);
    struct buf rest = buf_new(0);
    struct json *page;

    buf_str(&rest, "/summary");
    url_query(&rest, "first", from);
    for (size_t i = 0; i < figures->n; i++)
        url_query(&rest, "figure", figures->at[i]);
    page = ctl_job(c, NULL, id, buf_text(&rest), err);
    buf_free(&rest);
    free(from);
    return page;
}

/* Adds the points of a page that have jobs; true when all of them had. */
static bool take_items(struct json *items, const struct json *page)
{
    const struct json *more = js_get(page, "items");

    for (size_t i = 0; i < js_len(more); i++) {
        if (!js_len(js_get(js_at(more, i), "jobs")))
            return false;
        js_push(items, js_copy(js_at(more, i)));
    }
    return true;
}

/* Page by page, as far as jobs have been made. */
static struct json *ask_all(struct ctl *c, const char *id, const opt_list *figures,
                            struct error *err)
{
    struct json *items = js_new_array(), *all = NULL;
    int64_t first = 0;

    do {
        struct json *page = ask(c, id, figures, first, err);

        js_free(all);
        all = page;
        first = page && take_items(items, page) ? js_int(js_get(page, "next_first"), -1) : -1;
    } while (first >= 0);
    if (!all) {
        js_free(items);
        return NULL;
    }
    js_set(all, "items", items);
    js_delete(all, "next_first");
    return all;
}

/* -- For people ----------------------------------------------------------------------------------- */

void points_values(const struct json *values, struct buf *b)
{
    if (!js_len(values))
        buf_str(b, "-");
    for (void *it = js_first(values); it; it = js_next(values, it)) {
        char *text = js_text(js_value(it), JS_COMPACT);
        const bool cut = strlen(text) > VALUE_WIDTH;

        buf_fmt(b, "%s%s=%.*s%s", it == js_first(values) ? "" : ", ", js_key(it), VALUE_WIDTH,
                js_string(js_value(it), text), cut ? ".." : "");
        free(text);
    }
}

static void number_cell(struct out_table *t, const char *format, const struct json *j)
{
    const double v = js_real(j, (double)NAN);
    char text[OUT_TEXT];

    snprintf(text, sizeof(text), *format == '+' ? "%+.4g" : "%.5g", v);
    out_cell(t, "%s", isfinite(v) ? text : "-");
}

/* What the interval says, in words. */
static const char *verdict(const struct json *figure, bool baseline)
{
    const struct json *difference = js_get(figure, "difference");
    const struct json *zero = js_get(difference, "contains_zero");

    if (baseline)
        return "the baseline";
    if (js_kind(difference) == JS_NULL)
        return js_int(js_get(figure, "n"), 0) ? "the baseline has no job yet" : "no job yet";
    if (js_kind(zero) == JS_NULL)
        return js_int(js_get(figure, "n"), 0) > 1 ? "the baseline has one seed: no interval"
                                                  : "one seed: no interval";
    return js_bool(zero, false)                          ? "contains 0: may be chance"
           : js_real(js_get(difference, "value"), 0) > 0 ? "higher"
                                                         : "lower";
}

static void interval_cell(struct out_table *t, const struct json *difference)
{
    const double low = js_real(js_get(difference, "low"), (double)NAN);
    const double high = js_real(js_get(difference, "high"), (double)NAN);

    if (isfinite(low))
        out_cell(t, "[%+.4g, %+.4g]", low, high);
    else
        out_cell(t, "-");
}

static void add_point(struct out_table *t, const struct json *summary, const struct json *item,
                      const char *name)
{
    const struct json *figure = js_get(js_get(item, "figures"), name);
    const struct json *difference = js_get(figure, "difference");
    const int64_t point = js_int(js_get(item, "point"), -1);
    struct buf values = buf_new(0);

    points_values(js_get(item, "values"), &values);
    out_cell(t, "%" PRId64, point);
    out_cell(t, "%s", buf_text(&values));
    out_cell(t, "%" PRId64, js_int(js_get(figure, "n"), 0));
    number_cell(t, "", js_get(figure, "mean"));
    number_cell(t, "", js_get(figure, "sd"));
    number_cell(t, "+", js_get(difference, "value"));
    interval_cell(t, difference);
    out_cell(t, "%s", verdict(figure, point == js_int(js_get(summary, "baseline"), -2)));
    buf_free(&values);
}

/* What those figures are that a summary has unasked. */
static const char *meaning(const char *name)
{
    static const struct {
        const char *name, *meaning;
    } known[] = {
        {"final.top1", ": top-1 at the end, on the test images"},
        {"best.top1", ": top-1 of the best student, on the test images"},
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].meaning;
    return "";
}

static void add_table(const struct json *summary, const char *name, const struct term *term,
                      struct buf *b)
{
    static const struct out_column columns[] = {
        {"POINT", true, false},     {"VALUES", false, false},     {"N", true, false},
        {"MEAN", true, false},      {"\xc2\xb1 SD", true, false}, {"DIFFERENCE", true, false},
        {"INTERVAL", false, false}, {"VERDICT", false, false}};
    const struct json *items = js_get(summary, "items");
    struct out_table t = OUT_TABLE(columns);

    for (size_t i = 0; i < js_len(items); i++)
        add_point(&t, summary, js_at(items, i), name);
    buf_str(b, "\n");
    out_clean(b, name);
    buf_fmt(b, "%s\n", meaning(name));
    out_table_write(&t, term, b);
    out_table_free(&t);
}

void points_tables(const struct json *summary, const struct term *term, struct buf *b)
{
    const struct json *items = js_get(summary, "items");
    const struct json *figures = js_get(js_at(items, 0), "figures");
    struct buf values = buf_new(0);

    points_values(js_get(summary, "baseline_values"), &values);
    buf_str(b, js_string(js_get(summary, "id"), ""));
    buf_fmt(b, "  %" PRId64 " points x %" PRId64 " seeds, %zu of the points begun\n",
            js_int(js_get(summary, "points"), 0), js_int(js_get(summary, "seeds"), 0),
            js_len(items));
    buf_fmt(b, "Differences to point %" PRId64 " (", js_int(js_get(summary, "baseline"), 0));
    out_clean(b, buf_text(&values));
    buf_fmt(b, ") with intervals of %g %% for each of them alone\n",
            100 * js_real(js_get(summary, "confidence"), 0));
    for (void *it = js_first(figures); it; it = js_next(figures, it))
        add_table(summary, js_key(it), term, b);
    buf_free(&values);
}

bool points_show(struct ctl *c, const char *id, const opt_list *figures, struct error *err)
{
    struct json *summary = ask_all(c, id, figures, err);
    struct buf b = buf_new(0);

    if (summary && c->json) {
        out_json(summary);
    } else if (summary) {
        points_tables(summary, &c->out, &b);
        out_print(&b);
    }
    buf_free(&b);
    js_free(summary);
    return summary;
}
