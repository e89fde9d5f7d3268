#include "daemon/job.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct job *job_new(const char *id, const JobSpec *spec, int64_t now_ms)
{
    struct job *j = NEW(struct job);
    struct json *normalised = job_to_json(spec);

    snprintf(j->id, sizeof(j->id), "%s", id);
    snprintf(j->name, sizeof(j->name), "%s", spec->name);
    snprintf(j->kind, sizeof(j->kind), "%s", job_kind_name(spec));
    j->spec = js_text(normalised, JS_COMPACT);
    js_free(normalised);
    if (spec->n_depends_on)
        job_read_needs(j);
    j->state = JOB_QUEUED;
    j->ranks = j->attempt_ranks = spec->resources->ranks;
    j->threads = spec->resources->threads;
    j->priority = spec->priority;
    j->limit_ms = (int64_t)ceil(1e3 * spec->time_limit_s); /* 0 is none */
    snprintf(j->project, sizeof(j->project), "%s", spec->project);
    j->preempt = spec->preempt;
    j->preemptible = spec->preemptible;
    j->min_runtime_ms = (int64_t)ceil(1e3 * spec->min_runtime_s);
    j->created_ms = now_ms;
    j->hold_requested = spec->hold;
    j->progress = (struct job_progress){.eta_s = -1, .images_per_s = -1};
    return j;
}

void job_forget_needs(struct job *j)
{
    free(j->needs);
    j->needs = NULL;
    j->n_needs = 0;
}

void job_read_needs(struct job *j)
{
    struct json *spec = js_parse(j->spec, strlen(j->spec), NULL);
    const struct json *list = js_get(spec, "depends_on");

    job_forget_needs(j);
    j->n_needs = js_kind(list) == JS_ARRAY ? js_len(list) : 0;
    j->needs = NEW_ARRAY(struct job_need, j->n_needs);
    for (size_t i = 0; i < j->n_needs; i++) {
        const struct json *one = js_at(list, i);

        snprintf(j->needs[i].id, sizeof(j->needs[i].id), "%s", js_string(js_get(one, "job"), ""));
        j->needs[i].must_succeed =
            strcmp(js_string(js_get(one, "when"), "succeeded"), "succeeded") == 0;
    }
    js_free(spec);
}

void job_become_sweep(struct job *j, const struct json *spec, const struct sweep *s)
{
    free(j->spec);
    j->spec = js_text(spec, JS_COMPACT);
    snprintf(j->name, sizeof(j->name), "%s", js_string(js_get(spec, "name"), j->name));
    j->sweep = (struct job_sweep){.total = sweep_jobs(s), .parallel = sweep_parallel(s)};
    job_sweep_count(j);
}

static int64_t made_within(const struct job *j, enum job_state first, enum job_state last)
{
    int64_t n = 0;

    for (enum job_state s = first; s <= last; s++)
        n += j->sweep.made[s];
    return n;
}

int64_t job_sweep_made(const struct job *j)
{
    return made_within(j, JOB_QUEUED, JOB_CANCELLED);
}

int64_t job_sweep_going(const struct job *j)
{
    return made_within(j, JOB_QUEUED, JOB_RUNNING);
}

void job_sweep_count(struct job *j)
{
    j->progress.step = made_within(j, JOB_SUCCEEDED, JOB_CANCELLED);
    j->progress.total_steps = j->sweep.total;
}

void job_destroy(struct job *j)
{
    if (!j)
        return;
    free(j->origin.place);
    free(j->needs);
    free(j->spec);
    free(j->result);
    free(j->placement);
    free(j);
}

void reason_set(struct reason *r, const char *code, const char *fmt, ...)
{
    va_list ap;

    snprintf(r->code, sizeof(r->code), "%s", code);
    va_start(ap, fmt);
    vsnprintf(r->message, sizeof(r->message), fmt, ap);
    va_end(ap);
}

static struct json *time_or_null(int64_t wall_ms)
{
    char text[CLOCK_TEXT];

    return wall_ms ? js_new_string(clock_text(wall_ms, text)) : js_new_null();
}

static struct json *known_real(double v)
{
    return v >= 0 ? js_new_real(v) : js_new_null();
}

static struct json *progress_json(const struct job_progress *p)
{
    struct json *j = js_new_object();

    js_set(j, "step", js_new_int(p->step));
    js_set(j, "total_steps", js_new_int(p->total_steps));
    js_set(j, "epoch", js_new_int(p->epoch));
    js_set(j, "eta_s", known_real(p->eta_s));
    js_set(j, "images_per_s", known_real(p->images_per_s));
    js_set(j, "phase", p->phase[0] ? js_new_string(p->phase) : js_new_null());
    return j;
}

static struct json *reason_json(const struct reason *r)
{
    struct json *j;

    if (!r->code[0])
        return js_new_null();
    j = js_new_object();
    js_set(j, "code", js_new_string(r->code));
    js_set(j, "message", js_new_string(r->message));
    return j;
}

struct json *job_failures_json(const struct job *job)
{
    struct json *j = js_new_object();

    for (enum failure f = FAILURE_NONE + 1; f < FAILURE_COUNT; f++)
        if (job->failures[f])
            js_set(j, failure_name(f), js_new_int(job->failures[f]));
    return j;
}

/* Text that was JSON when it was stored. */
static struct json *embedded(const char *text)
{
    struct json *j = text ? js_parse(text, strlen(text), NULL) : NULL;

    return j ? j : js_new_null();
}

static struct json *sweep_json(const struct job *job)
{
    const int64_t *made = job->sweep.made;
    struct json *j = js_new_object();

    js_set(j, "total", js_new_int(job->sweep.total));
    js_set(j, "next", js_new_int(job_sweep_made(job)));
    js_set(j, "queued", js_new_int(made[JOB_QUEUED]));
    js_set(j, "running", js_new_int(made[JOB_STARTING] + made[JOB_RUNNING]));
    js_set(j, "done", js_new_int(made[JOB_SUCCEEDED]));
    js_set(j, "failed", js_new_int(made[JOB_FAILED]));
    js_set(j, "cancelled", js_new_int(made[JOB_CANCELLED]));
    return j;
}

static struct json *origin_json(const struct job_origin *o)
{
    struct json *j = js_new_object(), *place = embedded(o->place);

    js_set(j, "parent", js_new_string(o->sweep));
    js_set(j, "index", js_new_int(o->index));
    for (void *it = js_first(place); it; it = js_next(place, it))
        js_set(j, js_key(it), js_copy(js_value(it)));
    js_free(place);
    return j;
}

struct json *job_json(const struct job *job, bool with_spec)
{
    struct json *j = js_new_object();

    js_set(j, "id", js_new_string(job->id));
    js_set(j, "name", js_new_string(job->name));
    js_set(j, "kind", js_new_string(job->kind));
    js_set(j, "project", js_new_string(job->project));
    js_set(j, "state", js_new_string(job_state_name(job->state)));
    js_set(j, "reason", reason_json(&job->reason));
    js_set(j, "cancel_requested", js_new_bool(job->cancel_requested));
    js_set(j, "hold_requested", js_new_bool(job->hold_requested));
    js_set(j, "attempt", js_new_int(job->attempt));
    js_set(j, "failures", job_failures_json(job));
    js_set(j, "not_before", time_or_null(job->not_before_ms));
    js_set(j, "planned_start", time_or_null(job->planned_ms));
    js_set(j, "ran_s", js_new_real((double)job->ran_ms / 1e3));
    js_set(j, "progress", progress_json(&job->progress));
    js_set(j, "created_at", time_or_null(job->created_ms));
    js_set(j, "started_at", time_or_null(job->started_ms));
    js_set(j, "finished_at", time_or_null(job->finished_ms));
    js_set(j, "ranks", js_new_int(job->ranks));
    js_set(j, "priority", js_new_int(job->priority));
    js_set(j, "placement", job->placement ? js_new_string(job->placement) : js_new_null());
    js_set(j, "result", embedded(job->result));
    js_set(j, "sweep",
           job_is_sweep(job)      ? sweep_json(job)
           : job->origin.sweep[0] ? origin_json(&job->origin)
                                  : js_new_null());
    if (with_spec)
        js_set(j, "spec", embedded(job->spec));
    return j;
}

struct json *job_progress_json(const struct job *job)
{
    struct json *j = js_new_object();

    js_set(j, "id", js_new_string(job->id));
    js_set(j, "progress", progress_json(&job->progress));
    return j;
}
