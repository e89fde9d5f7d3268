#include "client/view.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "proto/base/mem.h"

enum {
    BAR_CELLS = 20
};

const struct view_series view_series[VIEW_FIGURES] = {
    [VIEW_LOSS] = {"loss/total", "train", "loss", 4},
    [VIEW_TOP1] = {"top1", "test", "top-1", 2},
    [VIEW_RATIO] = {"norm/ratio", "test", "norm", 3},
    [VIEW_COS] = {"cos/class_mean", "test", "cos", 3},
};

void view_init(struct view *v)
{
    *v = (struct view){.eta_s = (double)NAN, .step = -1, .total_steps = -1, .epoch = -1};
    for (size_t i = 0; i < VIEW_FIGURES; i++) {
        v->figure[i] = (double)NAN;
        v->figure_step[i] = -1;
    }
}

static void take_text(char *to, size_t size, const struct json *j)
{
    struct buf clean = buf_new(0);

    if (js_kind(j) != JS_STRING)
        return;
    out_clean(&clean, js_string(j, ""));
    snprintf(to, size, "%s", buf_text(&clean));
    buf_free(&clean);
}

static void take_progress(struct view *v, const struct json *p)
{
    v->step = js_int(js_get(p, "step"), v->step);
    v->total_steps = js_int(js_get(p, "total_steps"), v->total_steps);
    v->epoch = js_int(js_get(p, "epoch"), v->epoch);
    v->eta_s = js_real(js_get(p, "eta_s"), (double)NAN);
    v->phase[0] = '\0';
    take_text(v->phase, sizeof(v->phase), js_get(p, "phase"));
    v->unheard = js_kind(js_get(p, "disconnected_since")) == JS_STRING;
}

void view_job(struct view *v, const struct json *job)
{
    static const struct {
        const char *key;
        size_t offset, size;
    } texts[] = {
        {"id", offsetof(struct view, id), sizeof(v->id)},
        {"name", offsetof(struct view, name), sizeof(v->name)},
        {"kind", offsetof(struct view, kind), sizeof(v->kind)},
        {"state", offsetof(struct view, state), sizeof(v->state)},
    };
    const struct json *reason = js_get(job, "reason"), *progress = js_get(job, "progress");
    const struct json *finished = js_get(job, "finished_at"), *sweep = js_get(job, "sweep");

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        take_text((char *)v + texts[i].offset, texts[i].size, js_get(job, texts[i].key));
    if (js_kind(reason) == JS_OBJECT) {
        take_text(v->reason_code, sizeof(v->reason_code), js_get(reason, "code"));
        take_text(v->reason, sizeof(v->reason), js_get(reason, "message"));
    }
    if (js_kind(progress) == JS_OBJECT)
        take_progress(v, progress);
    v->attempt = js_int(js_get(job, "attempt"), v->attempt);
    if (js_get(sweep, "total")) {
        v->sweep = true;
        v->running = js_int(js_get(sweep, "running"), 0);
        v->failed = js_int(js_get(sweep, "failed"), 0);
    }
    if (finished)
        v->finished = js_kind(finished) == JS_STRING;
}

static void take_figure(struct view *v, const struct json *name, const struct json *split,
                        const struct json *step, const struct json *value)
{
    for (size_t i = 0; i < VIEW_FIGURES; i++)
        if (strcmp(view_series[i].name, js_string(name, "")) == 0 &&
            strcmp(view_series[i].split, js_string(split, "")) == 0 &&
            js_int(step, -1) >= v->figure_step[i]) {
            v->figure_step[i] = js_int(step, -1);
            v->figure[i] = js_real(value, (double)NAN);
        }
}

void view_point(struct view *v, const struct json *point)
{
    take_figure(v, js_get(point, "name"), js_get(point, "split"), js_get(point, "step"),
                js_get(point, "value"));
}

void view_last_point(struct view *v, const struct json *series)
{
    const struct json *points = js_get(series, "points");
    const struct json *last = js_len(points) ? js_at(points, js_len(points) - 1) : NULL;

    if (last)
        take_figure(v, js_get(series, "name"), js_get(series, "split"), js_at(last, 0),
                    js_at(last, 1));
}

double view_fraction(const struct view *v)
{
    return v->step >= 0 && v->total_steps > 0 ? (double)v->step / (double)v->total_steps
                                              : (double)NAN;
}

static void sweep_progress(const struct view *v, struct buf *b)
{
    buf_fmt(b, "%3.0f %%  job %" PRId64 "/%" PRId64, floor(100 * view_fraction(v)), v->step,
            v->total_steps);
    if (v->running)
        buf_fmt(b, "  %" PRId64 " running", v->running);
    if (v->failed)
        buf_fmt(b, "  %" PRId64 " failed", v->failed);
}

void view_progress(const struct view *v, bool bar, struct buf *b)
{
    double done = view_fraction(v);
    char text[OUT_TEXT];

    if (bar) {
        out_bar(b, isfinite(done) ? done : 0, BAR_CELLS);
        buf_str(b, "  ");
    }
    if (v->sweep) {
        sweep_progress(v, b);
        return;
    }
    if (isfinite(done))
        buf_fmt(b, "%3.0f %%  step %" PRId64 "/%" PRId64, floor(100 * done), v->step,
                v->total_steps);
    else
        buf_str(b, v->phase[0] ? v->phase : "no steps yet");
    if (v->epoch >= 0)
        buf_fmt(b, "  epoch %" PRId64, v->epoch);
    for (size_t i = 0; i < VIEW_FIGURES; i++)
        if (isfinite(v->figure[i]))
            buf_fmt(b, "  %s %s", view_series[i].label,
                    out_real(view_series[i].digits, v->figure[i], text));
    if (v->unheard && !v->finished)
        buf_str(b, "  disconnected");
    else if (isfinite(v->eta_s) && !v->finished)
        buf_fmt(b, "  ETA %s", out_duration(v->eta_s, text));
}

bool view_outcome(const struct view *v, struct error *err)
{
    enum err_code code = ERR_FAILED;

    if (strcmp(v->state, "succeeded") == 0)
        return true;
    if (strcmp(v->state, "cancelled") == 0)
        code = ERR_CANCELLED;
    else if (strcmp(v->reason_code, "time_limit") == 0)
        code = ERR_TIMEOUT;
    return err_set(err, code, "%s %s%s%s%s%s", v->id, v->state, v->reason_code[0] ? " (" : "",
                   v->reason_code, v->reason_code[0] ? "): " : "", v->reason);
}
