#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/compare.h"
#include "client/ctl.h"
#include "client/points.h"
#include "client/url.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/sha256.h"
#include "proto/base/str.h"

struct options {
    const char *a, *b;
    opt_list figures;
};

static const struct opt rows[] = {
    OPT(struct options, a, ARG_ONE, "A", "a job, or a sweep alone"),
    OPT(struct options, b, ARG_MAYBE, "B", "the job that is compared with it"),
    OPT(struct options, figures, OPT_MANY, "figure",
        "of a sweep: a figure of its jobs' results (final.top1 and best.top1)", .value = "NAME"),
};

/* What the server says of one of the two. */
struct side {
    const char *id;
    struct json *job, *metrics, *files;
    double seconds, images_per_s; /* NAN: not known */
};

enum {
    MAX_TIMING = 64 << 20
};

/* -- Asking --------------------------------------------------------------------------------------- */

static bool read_artifact(struct ctl *c, const char *id, const char *name, http_sink sink,
                          void *arg, struct error *err)
{
    struct http *h = ctl_http(c, err);
    struct http_request r = {.accept = "*/*", .sink = sink, .arg = arg};
    char *path = url_artifact(id, name);
    bool ok;

    r.path = path;
    ok = h && http_send(h, &r, err);
    free(path);
    return ok;
}

static bool into_buffer(const char *bytes, size_t len, void *arg, struct error *err)
{
    return buf_add(arg, bytes, len) || err_set(err, ERR_TOO_LARGE, "too large");
}

/* Over all epochs, from timing.jsonl; attempts that were interrupted are in it too. */
static double mean_rate(struct ctl *c, const char *id)
{
    struct buf text = buf_new(MAX_TIMING);
    double images = 0, seconds = 0;

    read_artifact(c, id, "timing.jsonl", into_buffer, &text, NULL);
    for (const char *line = buf_text(&text); *line;) {
        size_t len = strcspn(line, "\n");
        struct json *j = js_parse(line, len, NULL);
        double s = js_real(js_get(j, "seconds"), 0);

        images += s * js_real(js_get(j, "images_per_s"), 0);
        seconds += s;
        js_free(j);
        line += len + (line[len] == '\n');
    }
    buf_free(&text);
    return seconds > 0 ? images / seconds : (double)NAN;
}

static bool ask(struct ctl *c, struct side *s, struct error *err)
{
    int64_t now = clock_wall_ms();

    s->job = ctl_job(c, NULL, s->id, "", err);
    if (js_kind(js_path(s->job, "sweep.total")) == JS_INT)
        return err_set(err, ERR_INVALID,
                       "%s is a sweep; two jobs can be compared, or the points of one sweep: "
                       "distillctl compare %s",
                       s->id, s->id);
    s->metrics = s->job ? ctl_job(c, NULL, s->id, "/metrics/series", err) : NULL;
    s->files = s->metrics ? ctl_job(c, NULL, s->id, "/artifacts", err) : NULL;
    if (!s->files)
        return err_wrap(err, "%s", s->id);
    s->seconds = out_age(js_string(js_get(s->job, "started_at"), NULL), now) -
                 out_age(js_string(js_get(s->job, "finished_at"), NULL), now);
    s->images_per_s = mean_rate(c, s->id);
    return true;
}

static void side_free(struct side *s)
{
    js_free(s->job);
    js_free(s->metrics);
    js_free(s->files);
}

/* -- Files ---------------------------------------------------------------------------------------- */

/* Those whose bytes are a function of the job. */
static bool is_result(const char *name)
{
    return str_ends(name, ".safetensors") || strcmp(name, "metrics.jsonl") == 0;
}

static const struct json *find_file(const struct side *s, const char *name)
{
    const struct json *items = js_get(s->files, "items");

    for (size_t i = 0; i < js_len(items); i++)
        if (strcmp(js_string(js_get(js_at(items, i), "name"), ""), name) == 0)
            return js_at(items, i);
    return NULL;
}

static bool into_hash(const char *bytes, size_t len, void *arg, struct error *err)
{
    (void)err;
    sha256_add(arg, bytes, len);
    return true;
}

static bool hash_file(struct ctl *c, const char *id, const char *name, char hex[SHA256_HEX],
                      struct error *err)
{
    struct sha256 *s = sha256_new();
    bool ok = read_artifact(c, id, name, into_hash, s, err) || err_wrap(err, "%s of %s", name, id);

    sha256_end(s, hex);
    return ok;
}

/* Files of equal length are read, because entity tags of two jobs need not agree for equal bytes. */
static bool compare_file(struct ctl *c, const struct side *a, const struct side *b,
                         const char *name, struct json *files, struct error *err)
{
    const struct json *x = js_get(find_file(a, name), "size_bytes");
    const struct json *y = js_get(find_file(b, name), "size_bytes");
    char of_a[SHA256_HEX] = "", of_b[SHA256_HEX] = "";
    struct json *row;

    if (x && y && js_int(x, -1) == js_int(y, -2) &&
        !(hash_file(c, a->id, name, of_a, err) && hash_file(c, b->id, name, of_b, err)))
        return false;
    row = js_new_object();
    js_set(row, "name", js_new_string(name));
    js_set(row, "a_bytes", x ? js_copy(x) : js_new_null());
    js_set(row, "b_bytes", y ? js_copy(y) : js_new_null());
    js_set(row, "equal", x && y ? js_new_bool(of_a[0] && strcmp(of_a, of_b) == 0) : js_new_null());
    js_push(files, row);
    return true;
}

static bool compare_files(struct ctl *c, const struct side *a, const struct side *b,
                          struct json *files, struct error *err)
{
    const struct side *sides[] = {a, b};

    for (size_t s = 0; s < 2; s++) {
        const struct json *items = js_get(sides[s]->files, "items");

        for (size_t i = 0; i < js_len(items); i++) {
            const char *name = js_string(js_get(js_at(items, i), "name"), "");

            if (is_result(name) && (s == 0 || !find_file(a, name)) &&
                !compare_file(c, a, b, name, files, err))
                return false;
        }
    }
    return true;
}

/* -- The comparison ------------------------------------------------------------------------------- */

/* What is compared as a number. */
static struct json *figures(const struct side *s)
{
    static const char *const parts[] = {"final", "best (test)", "final (val)", "best (val)",
                                        "train"};
    struct json *all = js_new_object();

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const struct json *part = js_get(js_get(s->job, "result"), parts[i]);

        if (part)
            js_set(all, parts[i], js_copy(part));
    }
    js_set(all, "seconds", js_new_real(s->seconds));
    js_set(all, "images/s", js_new_real(s->images_per_s));
    return all;
}

/* The same metrics at all steps, and no file that both have with other bytes. */
static bool identical(const struct json *metrics, const struct json *files)
{
    bool some = false;

    for (size_t i = 0; i < js_len(metrics); i++)
        if (!compare_same(js_at(metrics, i)))
            return false;
    for (size_t i = 0; i < js_len(files); i++) {
        const struct json *equal = js_get(js_at(files, i), "equal");

        if (!js_bool(equal, true))
            return false;
        some |= js_bool(equal, false);
    }
    return some;
}

static struct json *compare(struct ctl *c, const struct side *a, const struct side *b,
                            struct error *err)
{
    struct json *all = js_new_object(), *files = js_new_array();
    struct json *figures_a = figures(a), *figures_b = figures(b);
    struct json *metrics =
        compare_series(js_get(a->metrics, "series"), js_get(b->metrics, "series"));
    bool ok = compare_files(c, a, b, files, err);

    js_set(all, "a", js_new_string(a->id));
    js_set(all, "b", js_new_string(b->id));
    js_set(all, "identical", js_new_bool(identical(metrics, files)));
    js_set(all, "spec", compare_specs(js_get(a->job, "spec"), js_get(b->job, "spec")));
    js_set(all, "figures", compare_figures(figures_a, figures_b));
    js_set(all, "metrics", metrics);
    js_set(all, "files", files);
    js_free(figures_a);
    js_free(figures_b);
    if (ok)
        return all;
    js_free(all);
    return NULL;
}

/* -- For people ----------------------------------------------------------------------------------- */

static const struct out_column spec_columns[] = {
    {"SPEC", false, false}, {"A", false, false}, {"B", false, false}};
static const struct out_column figure_columns[] = {
    {"FIGURE", false, false}, {"A", true, false}, {"B", true, false}, {"B - A", true, false}};
static const struct out_column metric_columns[] = {
    {"METRIC", false, false},   {"SPLIT", false, false}, {"STEPS", true, false},
    {"ONLY A", true, false},    {"ONLY B", true, false}, {"DIFFER FROM", true, false},
    {"AT MOST BY", true, false}};
static const struct out_column file_columns[] = {
    {"FILE", false, false}, {"A", true, false}, {"B", true, false}, {"BYTES", false, false}};

static void number_cell(struct out_table *t, const struct json *j)
{
    if (js_kind(j) == JS_NULL)
        out_cell(t, "-");
    else
        out_cell(t, "%.6g", js_real(j, 0));
}

static void text_cell(struct out_table *t, const struct json *j)
{
    char *text = js_text(j, JS_COMPACT);

    out_cell(t, "%s", js_kind(j) == JS_NULL ? "-" : js_string(j, text));
    free(text);
}

static void spec_row(struct out_table *t, const struct json *row)
{
    text_cell(t, js_get(row, "pointer"));
    text_cell(t, js_get(row, "a"));
    text_cell(t, js_get(row, "b"));
}

static void figure_row(struct out_table *t, const struct json *row)
{
    text_cell(t, js_get(row, "name"));
    number_cell(t, js_get(row, "a"));
    number_cell(t, js_get(row, "b"));
    number_cell(t, js_get(row, "difference"));
}

static void metric_row(struct out_table *t, const struct json *row)
{
    text_cell(t, js_get(row, "name"));
    text_cell(t, js_get(row, "split"));
    text_cell(t, js_get(row, "points"));
    text_cell(t, js_get(row, "only_a"));
    text_cell(t, js_get(row, "only_b"));
    text_cell(t, js_get(row, "first_difference"));
    number_cell(t, js_get(row, "max_abs_difference"));
}

static void file_row(struct out_table *t, const struct json *row)
{
    const struct json *equal = js_get(row, "equal");
    bool both = js_kind(equal) == JS_BOOL, only_a = js_kind(js_get(row, "b_bytes")) == JS_NULL;
    char size[OUT_TEXT];

    text_cell(t, js_get(row, "name"));
    out_cell(t, "%s", out_bytes(js_int(js_get(row, "a_bytes"), -1), size));
    out_cell(t, "%s", out_bytes(js_int(js_get(row, "b_bytes"), -1), size));
    out_cell(t, "%s",
             both     ? js_bool(equal, false) ? "equal" : "differ"
             : only_a ? "only A"
                      : "only B");
}

static void add_table(const struct ctl *c, struct out_table t, const struct json *list,
                      void (*add)(struct out_table *, const struct json *), struct buf *b)
{
    for (size_t i = 0; i < js_len(list); i++)
        add(&t, js_at(list, i));
    if (js_len(list)) {
        buf_str(b, "\n");
        out_table_write(&t, &c->out, b);
    }
    out_table_free(&t);
}

static void print_all(const struct ctl *c, const struct json *all)
{
    struct buf b = buf_new(0);

    buf_fmt(&b, "A  %s\nB  %s\n", js_string(js_get(all, "a"), ""), js_string(js_get(all, "b"), ""));
    add_table(c, OUT_TABLE(spec_columns), js_get(all, "spec"), spec_row, &b);
    add_table(c, OUT_TABLE(figure_columns), js_get(all, "figures"), figure_row, &b);
    add_table(c, OUT_TABLE(metric_columns), js_get(all, "metrics"), metric_row, &b);
    add_table(c, OUT_TABLE(file_columns), js_get(all, "files"), file_row, &b);
    buf_str(&b, js_bool(js_get(all, "identical"), false)
                    ? "\nThe runs are bit-identical: all metrics, and every file that both have.\n"
                    : "\nThe runs differ.\n");
    out_print(&b);
    buf_free(&b);
}

static bool compare_two(struct ctl *c, const struct options *o, struct error *err)
{
    struct side a = {.id = o->a}, b = {.id = o->b};
    struct json *all = ask(c, &a, err) && ask(c, &b, err) ? compare(c, &a, &b, err) : NULL;

    if (all && c->json)
        out_json(all);
    else if (all)
        print_all(c, all);
    js_free(all);
    side_free(&a);
    side_free(&b);
    return all;
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct options *o = opts;

    if (!o->b)
        return points_show(c, o->a, &o->figures, err);
    if (o->figures.n)
        return err_set(err, ERR_INVALID, "--figure is for a sweep; two jobs have all compared");
    return compare_two(c, o, err);
}

const struct command cmd_compare = {
    .name = "compare",
    .summary = "Show how two jobs differ, or the points of a sweep",
    .text =
        "Of two jobs: fields of their specs, figures they reached, metrics at equal steps, time, "
        "and files, which are read where their lengths agree. Exit status 0 also when they differ; "
        "with --json the member \"identical\" says it. Of a sweep: mean and deviation over the "
        "seeds "
        "for each combination of values, and how far it is from the baseline, with the interval "
        "in which the difference lies with 95 % confidence: seed by seed (Student), or between two "
        "groups where fewer than two seeds are in both (Welch). Of twenty combinations without "
        "any effect, one will show one.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct options),
    .run = run,
};
