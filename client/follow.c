#include "client/follow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/out.h"
#include "client/patience.h"
#include "client/sse.h"
#include "client/url.h"
#include "client/view.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

/* Off a terminal a job gets a line when state or epoch change, and at least so often. */
static const double line_every_s = 30;

struct followed {
    struct view view;
    /* as of the last line that was printed */
    char state[24];
    int64_t epoch, step;
    double printed_at;
};

struct follow {
    struct ctl *c;
    const struct follow_options *options;
    struct followed *jobs;
    size_t n;
    struct sse sse;
    struct out_live live;
    double deadline; /* by clock_mono_s */
    struct patience patience;
};

static bool all_finished(const struct follow *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (!f->jobs[i].view.finished)
            return false;
    return true;
}

static struct view *find(struct follow *f, const struct json *id)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->jobs[i].view.id, js_string(id, "")) == 0)
            return &f->jobs[i].view;
    return NULL;
}

static void job_line(const struct follow *f, const struct view *v, struct buf *b)
{
    buf_fmt(b, "%s  %-9s  ", v->id, v->state);
    view_progress(v, f->live.term.tty, b);
}

static void show_live(struct follow *f)
{
    const char **lines = NEW_ARRAY(const char *, f->n);

    for (size_t i = 0; i < f->n; i++) {
        struct buf b = buf_new(0);

        job_line(f, &f->jobs[i].view, &b);
        lines[i] = buf_take(&b);
    }
    out_live_show(&f->live, lines, f->n);
    for (size_t i = 0; i < f->n; i++)
        free((char *)(uintptr_t)lines[i]);
    free(lines);
}

static bool is_news(const struct followed *j)
{
    const struct view *v = &j->view;

    return strcmp(j->state, v->state) != 0 || j->epoch != v->epoch ||
           (v->sweep && j->step != v->step) ||
           (j->step != v->step && clock_mono_s() - j->printed_at >= line_every_s);
}

static void show_plain(struct follow *f)
{
    for (size_t i = 0; i < f->n; i++) {
        struct followed *j = &f->jobs[i];
        struct buf b = buf_new(0);

        if (!is_news(j))
            continue;
        job_line(f, &j->view, &b);
        fprintf(f->options->to, "%s\n", buf_text(&b));
        fflush(f->options->to);
        buf_free(&b);
        snprintf(j->state, sizeof(j->state), "%s", j->view.state);
        j->epoch = j->view.epoch;
        j->step = j->view.step;
        j->printed_at = clock_mono_s();
    }
}

static void show(struct follow *f)
{
    if (f->c->json)
        return;
    if (f->live.term.tty)
        show_live(f);
    else
        show_plain(f);
}

/* What each kind of event says. */
static void on_job(struct follow *f, const struct json *data)
{
    const struct json *items = js_get(data, "items");
    struct view *v = find(f, js_get(data, "id"));

    if (v)
        view_job(v, data);
    for (size_t i = 0; i < js_len(items); i++)
        on_job(f, js_at(items, i));
}

static void on_metric(struct follow *f, const struct json *data)
{
    struct view *v = find(f, js_get(data, "job"));
    const struct json *points = js_get(data, "points");

    for (size_t i = 0; v && i < js_len(points); i++)
        view_point(v, js_at(points, i));
}

static const struct {
    const char *kind;
    void (*take)(struct follow *f, const struct json *data);
} handlers[] = {
    {"snapshot", on_job}, {"state", on_job},     {"progress", on_job},
    {"end", on_job},      {"metric", on_metric},
};

static void print_event(const char *kind, struct json *take_data)
{
    struct json *line = js_new_object();

    js_set(line, "event", js_new_string(kind));
    js_set(line, "data", take_data);
    out_json_line(line);
    js_free(line);
}

static bool on_event(const struct sse_event *e, void *arg, struct error *err)
{
    struct follow *f = arg;
    struct json *data = js_parse(e->data, e->len, NULL);

    (void)err;
    f->patience = (struct patience){0};
    for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
        if (data && strcmp(handlers[i].kind, e->kind) == 0)
            handlers[i].take(f, data);
    show(f);
    if (data && f->c->json && strcmp(e->kind, "hb") != 0 && strcmp(e->kind, "bye") != 0)
        print_event(e->kind, data);
    else
        js_free(data);
    return !all_finished(f);
}

static bool on_bytes(const char *bytes, size_t len, void *arg, struct error *err)
{
    struct follow *f = arg;

    return sse_feed(&f->sse, bytes, len, on_event, f, err);
}

static bool in_time(const struct follow *f, struct error *err)
{
    return clock_mono_s() < f->deadline ||
           err_set(err, ERR_TIMEOUT, "not finished after %g s; the job goes on",
                   f->options->timeout_s);
}

static bool on_tick(double received, double total, void *arg, struct error *err)
{
    (void)received;
    (void)total;
    return in_time(arg, err);
}

static bool stream(struct follow *f, struct error *err)
{
    struct buf path = buf_new(0);
    struct http_request r = {
        .accept = "text/event-stream", .sink = on_bytes, .tick = on_tick, .arg = f};
    struct http *h = ctl_http(f->c, err);
    bool ok;

    buf_str(&path, "/api/v1/events");
    for (size_t i = 0; i < f->n; i++)
        url_query(&path, "job", f->jobs[i].view.id);
    r.path = buf_text(&path);
    r.last_id = buf_text(&f->sse.id);
    sse_restart(&f->sse);
    ok = h && http_send(h, &r, err);
    buf_free(&path);
    return ok;
}

static bool refresh(struct follow *f, struct error *err)
{
    for (size_t i = 0; i < f->n; i++) {
        struct json *job = ctl_job(f->c, NULL, f->jobs[i].view.id, "", err);

        if (!job)
            return false;
        view_job(&f->jobs[i].view, job);
        js_free(job);
    }
    return true;
}

/* What the figures were before we came. Without an answer they appear with the next event. */
static void read_figures(struct follow *f, struct view *v)
{
    for (size_t i = 0; i < VIEW_FIGURES; i++) {
        struct buf rest = buf_new(0);
        struct json *answer;
        const struct json *series;

        buf_str(&rest, "/metrics/series");
        url_query(&rest, "name", view_series[i].name);
        answer = ctl_job(f->c, NULL, v->id, buf_text(&rest), NULL);
        series = js_get(answer, "series");
        for (size_t k = 0; k < js_len(series); k++)
            view_last_point(v, js_at(series, k));
        js_free(answer);
        buf_free(&rest);
    }
}

/* Asks for the jobs until there is an answer: a daemon that restarts is back within seconds. */
static bool reconnect(struct follow *f, struct error *err)
{
    do {
        patience_wait(&f->patience);
        ctl_renew(f->c);
        if (!in_time(f, err))
            return false;
        if (refresh(f, err)) {
            f->patience.lost_at = 0;
            return true;
        }
    } while (patience_left(&f->patience, err));
    return false;
}

/* For programs the last lines are the jobs as they ended, with their results. */
static bool print_results(struct follow *f, struct error *err)
{
    for (size_t i = 0; f->c->json && i < f->n; i++) {
        struct json *job = ctl_job(f->c, NULL, f->jobs[i].view.id, "", err);

        if (!job)
            return false;
        print_event("result", job);
    }
    return true;
}

static bool follow(struct follow *f, struct error *err)
{
    if (!refresh(f, err))
        return false;
    for (size_t i = 0; i < f->n; i++)
        read_figures(f, &f->jobs[i].view);
    show(f);
    while (!all_finished(f)) {
        struct error lost = {0};

        if (!stream(f, &lost) && lost.code == ERR_TIMEOUT) {
            *err = lost;
            return false;
        }
        if (!all_finished(f) && !reconnect(f, err))
            return false;
        show(f);
    }
    if (!print_results(f, err))
        return false;
    for (size_t i = 0; i < f->n; i++)
        if (!view_outcome(&f->jobs[i].view, err))
            return false;
    return true;
}

bool follow_jobs(struct ctl *c, const char *const *ids, size_t n,
                 const struct follow_options *options, struct error *err)
{
    struct follow f = {.c = c, .options = options, .n = n};
    bool ok;

    if (!ctl_http(c, err))
        return false;
    f.deadline = options->timeout_s > 0 ? clock_mono_s() + options->timeout_s : (double)INFINITY;
    f.live = (struct out_live){.to = options->to, .term = term_of(options->to)};
    f.jobs = NEW_ARRAY(struct followed, n);
    sse_init(&f.sse);
    for (size_t i = 0; i < n; i++) {
        view_init(&f.jobs[i].view);
        snprintf(f.jobs[i].view.id, sizeof(f.jobs[i].view.id), "%s", ids[i]);
    }
    ok = follow(&f, err);
    sse_free(&f.sse);
    free(f.jobs);
    return ok;
}

bool follow_new(struct ctl *c, const struct json *job, bool wait, double timeout_s,
                struct error *err)
{
    const struct follow_options options = {.to = stderr, .timeout_s = timeout_s};
    const char *id = js_string(js_get(job, "id"), "");

    if (c->json)
        out_json_line(job);
    else if (printf("%s\n", id) <= 0 || fflush(stdout) != 0)
        return false;
    return !wait || follow_jobs(c, &id, 1, &options, err);
}
