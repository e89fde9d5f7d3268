/* What a job has been through: attempts, changes of state, metrics. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/attempt.h"
#include "daemon/problem.h"
#include "daemon/stepclock.h"
#include "daemon/thin.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"

static struct json *time_of(int64_t wall_ms)
{
    char text[CLOCK_TEXT];

    return wall_ms ? js_new_string(clock_text(wall_ms, text)) : js_new_null();
}

static struct json *attempt_json(const struct attempt_row *row)
{
    struct json *j = js_new_object();
    const struct attempt_exit *e = &row->end;
    bool ended = row->ended_ms != 0;

    js_set(j, "attempt", js_new_int(row->number));
    js_set(j, "started_at", time_of(row->started_ms));
    js_set(j, "ended_at", time_of(row->ended_ms));
    js_set(j, "placement", js_new_string(row->placement));
    js_set(j, "status", ended && !e->lost ? js_new_int(e->status) : js_new_null());
    js_set(j, "signal", ended && e->signal ? js_new_int(e->signal) : js_new_null());
    js_set(j, "stopped", js_new_bool(e->stopped));
    js_set(j, "lost", js_new_bool(e->lost));
    js_set(j, "class", e->class ? js_new_string(failure_name(e->class)) : js_new_null());
    js_set(j, "message", js_new_string(e->message));
    return j;
}

static void add_attempt(const struct attempt_row *row, void *items)
{
    js_push(items, attempt_json(row));
}

static void add_event(const struct event_row *row, void *items)
{
    struct json *j = js_new_object();

    js_set(j, "id", js_new_int(row->id));
    js_set(j, "at", time_of(row->at_ms));
    js_set(j, "state", js_new_string(row->state));
    js_set(j, "code", js_new_string(row->code));
    js_set(j, "message", js_new_string(row->message));
    js_push(items, j);
}

static bool read_attempts(struct daemon *d, const char *job, struct json *items, struct error *err)
{
    return store_attempts(d->store, job, add_attempt, items, err);
}

static void add_series(const struct series_row *row, void *items)
{
    struct json *j = js_new_object();

    js_set(j, "name", js_new_string(row->name));
    js_set(j, "split", js_new_string(row->split));
    js_set(j, "first_step", js_new_int(row->first));
    js_set(j, "last_step", js_new_int(row->last));
    js_set(j, "points", js_new_int(row->points));
    js_push(items, j);
}

static bool read_catalogue(struct daemon *d, const char *job, struct json *items, struct error *err)
{
    return store_metrics_catalogue(d->store, job, add_series, items, err);
}

static bool read_events(struct daemon *d, const char *job, struct json *items, struct error *err)
{
    return store_events(d->store, job, add_event, items, err);
}

/* {"items": [..]} of the job that the address names. */
static void reply_rows(struct daemon *d, struct request *r,
                       bool (*read)(struct daemon *d, const char *job, struct json *items,
                                    struct error *err))
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);
    struct json *answer, *items;
    struct error err;

    if (!j)
        return;
    answer = js_new_object();
    items = js_new_array();
    js_set(answer, "items", items);
    if (read(d, j->id, items, &err)) {
        reply_json(r, 200, answer);
    } else {
        js_free(answer);
        problem_reply_error(r, &err);
    }
    job_destroy(owned);
}

void api_job_attempts(struct daemon *d, struct request *r)
{
    reply_rows(d, r, read_attempts);
}

struct sought {
    int64_t number;
    struct json *found;
};

static void seek_attempt(const struct attempt_row *row, void *arg)
{
    struct sought *s = arg;

    if (row->number == s->number)
        s->found = attempt_json(row);
}

/* Who looks after it, as that has noted; null when there is no such note. */
static struct json *shim_json(const struct daemon *d, const struct job *j, int64_t number)
{
    char *rest = str_fmt("attempts/%" PRId64, number);
    char *dir = daemon_job_path(d, j->id, rest);
    struct attempt_owner owner;
    struct json *shim = NULL;
    struct error err;

    if (attempt_read_owner(dir, &owner, &err)) {
        shim = js_new_object();
        js_set(shim, "pid", js_new_int(owner.shim.pid));
        js_set(shim, "boot_id", js_new_string(owner.shim.boot_id));
        js_set(shim, "cgroup", owner.cgroup[0] ? js_new_string(owner.cgroup) : js_new_null());
    }
    free(dir);
    free(rest);
    return shim ? shim : js_new_null();
}

static void reply_attempt(struct daemon *d, struct request *r, const struct job *j)
{
    struct sought s = {.number = 0};
    struct error err;

    if (!str_int(r->params[1], 1, INT64_MAX, &s.number) || s.number > j->attempt)
        problem_reply(r, "not_found", NULL,
                      "job %s has no attempt \"%.40s\"; its newest is %" PRId64, j->id,
                      r->params[1], j->attempt);
    else if (!store_attempts(d->store, j->id, seek_attempt, &s, &err))
        problem_reply_error(r, &err);
    else if (!s.found)
        problem_reply(r, "not_found", NULL, "job %s has no attempt %" PRId64, j->id, s.number);
    else {
        js_set(s.found, "shim", shim_json(d, j, s.number));
        reply_json(r, 200, s.found);
    }
}

void api_job_attempt(struct daemon *d, struct request *r)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);

    if (j)
        reply_attempt(d, r, j);
    job_destroy(owned);
}

void api_job_events(struct daemon *d, struct request *r)
{
    reply_rows(d, r, read_events);
}

void api_job_metrics(struct daemon *d, struct request *r)
{
    reply_rows(d, r, read_catalogue);
}

/* Written as text at once: a long run has tens of thousands of points. */
enum {
    POINTS_MAX = 100000
};

enum axis {
    AXIS_STEP,
    AXIS_TIME,
    AXIS_EPOCH
};

enum agg {
    AGG_MINMAX,
    AGG_RAW
};

/* What stands for the step of a point. */
static const char *const axes[] = {"step", "time", "epoch"}, *const aggs[] = {"minmax", "raw"};
static const char *const accepted[] = {"application/json", "text/csv"};

struct series_text {
    struct buf text;
    bool csv;
    size_t max;              /* points of a series; 0: all */
    size_t x, agg;           /* of axes, aggs */
    size_t too_many;         /* points, more than may come, that a series has with AGG_RAW */
    struct stepclock *clock; /* NULL: x is the step */
    char *name, *split;      /* of the series that is open; NULL: none */
    VEC(struct thin_point) points;
};

/* Nothing where it is not known, which JSON calls null. */
static void write_x(struct series_text *s, int64_t step)
{
    const double x = !s->clock           ? (double)NAN
                     : s->x == AXIS_TIME ? stepclock_time(s->clock, step)
                                         : stepclock_epoch(s->clock, step);

    if (!s->clock)
        buf_fmt(&s->text, "%lld", (long long)step);
    else if (isfinite(x))
        buf_fmt(&s->text, "%.*f", s->x == AXIS_TIME ? 3 : 6, x);
    else
        buf_str(&s->text, s->csv ? "" : "null");
}

static void write_points(struct series_text *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_str(&s->text, i ? ",[" : "[");
        write_x(s, s->points.at[i].step);
        buf_str(&s->text, ",");
        js_write_real(s->points.at[i].value, &s->text);
        buf_str(&s->text, "]");
    }
    if (s->name)
        buf_str(&s->text, "]}");
}

/* A name as a field of RFC 4180. */
static void write_field(const char *text, struct buf *b)
{
    if (!strpbrk(text, ",\"\r\n")) {
        buf_str(b, text);
        return;
    }
    buf_str(b, "\"");
    for (; *text; text++)
        buf_add(b, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
    buf_str(b, "\"");
}

/* What is not finite has no value. */
static void write_lines(struct series_text *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        write_field(s->name, &s->text);
        buf_str(&s->text, ",");
        write_field(s->split, &s->text);
        buf_str(&s->text, ",");
        write_x(s, s->points.at[i].step);
        buf_str(&s->text, ",");
        if (isfinite(s->points.at[i].value))
            js_write_real(s->points.at[i].value, &s->text);
        buf_str(&s->text, "\r\n");
    }
}

static void close_series(struct series_text *s)
{
    size_t n = s->points.n;

    if (s->max && n > s->max && s->agg == AGG_RAW)
        s->too_many = n;
    else if (s->max)
        n = thin(s->points.at, n, s->max);
    (s->csv ? write_lines : write_points)(s, n);
    free(s->name);
    free(s->split);
    s->name = s->split = NULL;
    s->points.n = 0;
}

static void open_series(struct series_text *s, const struct metric_point *p, bool first)
{
    s->name = str_dup(p->name);
    s->split = str_dup(p->split);
    if (s->csv)
        return;
    buf_str(&s->text, first ? "{\"name\":" : ",{\"name\":");
    js_write_string(p->name, &s->text);
    buf_str(&s->text, ",\"split\":");
    js_write_string(p->split, &s->text);
    buf_str(&s->text, ",\"points\":[");
}

static void add_point(const struct metric_point *p, void *arg)
{
    struct series_text *s = arg;
    bool same = s->name && strcmp(s->name, p->name) == 0 && strcmp(s->split, p->split) == 0;
    bool first = !s->name && buf_text(&s->text)[s->text.len - 1] == '[';

    if (!same) {
        close_series(s);
        open_series(s, p, first);
    }
    vec_push(&s->points, (struct thin_point){p->step, p->value});
}

typedef VEC(const char *) names;

static bool has(const names *n, const char *name)
{
    for (size_t i = 0; i < n->n; i++)
        if (strcmp(n->at[i], name) == 0)
            return true;
    return false;
}

/* Of all names that the request gives, each once, or of any if it gives none. */
static bool read_series(struct daemon *d, struct request *r, struct metric_query *q,
                        struct series_text *s, struct error *err)
{
    names done = {0};
    bool ok = true;

    q->name = http_query(r, "name");
    for (size_t n = 0; ok && (n == 0 || q->name); q->name = http_query_nth(r, "name", ++n)) {
        if (q->name && has(&done, q->name))
            continue;
        ok = store_metrics_read(d->store, q, add_point, s, err);
        if (q->name)
            vec_push(&done, q->name);
    }
    vec_free(&done);
    return ok;
}

/* One of `n` words, the first if it is left out. False when the answer was given. */
static bool take_word(struct request *r, const char *name, const char *const *words, size_t n,
                      size_t *out)
{
    const char *text = http_query(r, name);
    struct buf all = buf_new(0);

    for (*out = 0; text && *out < n && strcmp(text, words[*out]) != 0; ++*out)
        buf_fmt(&all, "%s%s", *out ? ", " : "", words[*out]);
    if (*out == n)
        problem_reply(r, "bad_request", NULL, "%s: expected one of %s; got \"%.40s\"", name,
                      buf_text(&all), text);
    buf_free(&all);
    return *out < n;
}

static bool take_wanted(struct request *r, struct metric_query *q, struct series_text *s)
{
    int64_t max;
    int form;

    if (!api_number(r, "from", 0, INT64_MAX, 0, &q->from) ||
        !api_number(r, "to", 0, INT64_MAX, INT64_MAX, &q->to) ||
        !api_number(r, "max_points", THIN_LEAST, POINTS_MAX, 0, &max) ||
        !take_word(r, "x", axes, ARRAY_LEN(axes), &s->x) ||
        !take_word(r, "agg", aggs, ARRAY_LEN(aggs), &s->agg) ||
        (form = api_accept(r, accepted, ARRAY_LEN(accepted))) < 0)
        return false;
    s->max = (size_t)max;
    s->csv = form == 1;
    return true;
}

/* False when the answer was given. */
static bool open_clock(struct daemon *d, struct request *r, const char *job, struct series_text *s)
{
    struct error err;

    if (s->x == AXIS_STEP)
        return true;
    s->clock = stepclock_open(daemon_open_output(d, job, "timing.jsonl", NULL, NULL), &err);
    if (s->clock)
        return true;
    problem_reply(r, "bad_request", NULL, "x: of job %s the %s is not known (%s); there is: step",
                  job, axes[s->x], err.msg);
    return false;
}

static void reply_series(struct request *r, struct series_text *s)
{
    if (s->too_many)
        problem_reply(
            r, "bad_request", NULL,
            "agg: a series has %zu points, more than max_points, %zu; ask for fewer steps "
            "by from and to, or for minmax",
            s->too_many, s->max);
    else
        reply_bytes(r, 200,
                    s->csv ? "text/csv; charset=utf-8; header=present"
                           : "application/json; charset=utf-8",
                    s->text.data, s->text.len);
}

static void write_series(struct daemon *d, struct request *r, struct metric_query *q,
                         struct series_text *s)
{
    struct error err;
    bool ok;

    if (s->csv)
        buf_fmt(&s->text, "name,split,%s,value\r\n", axes[s->x]);
    else
        buf_str(&s->text, "{\"series\":[");
    ok = read_series(d, r, q, s, &err);
    close_series(s);
    buf_str(&s->text, s->csv ? "" : "]}");
    if (ok)
        reply_series(r, s);
    else
        problem_reply_error(r, &err);
}

void api_job_series(struct daemon *d, struct request *r)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);
    struct series_text s = {.text = buf_new(0)};
    struct metric_query q;

    if (j && take_wanted(r, &q, &s) && open_clock(d, r, j->id, &s)) {
        q.job = j->id;
        write_series(d, r, &q, &s);
    }
    stepclock_close(s.clock);
    vec_free(&s.points);
    buf_free(&s.text);
    job_destroy(owned);
}
