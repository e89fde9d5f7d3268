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

    snprintf(j->id, sizeof(j->id), "%s", id);
    snprintf(j->name, sizeof(j->name), "%s", spec->name);
    snprintf(j->kind, sizeof(j->kind), "%s", job_kind_name(spec));
    j->spec = job_to_text(spec);
    if (spec->n_depends_on)
        job_read_needs(j);
    j->state = JOB_QUEUED;
    j->ranks_min = spec->resources->ranks->min;
    j->ranks_max = spec->resources->ranks->max;
    j->ranks = j->attempt_ranks = j->ranks_min;
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
    free(j->written);
    free(j->result);
    free(j->placement);
    free(j->reason.message);
    free(j);
}

bool job_kind_known(const char *kind)
{
    JobSpec spec = DISTILLD__JOB_SPEC__INIT;

    for (int k = DISTILLD__JOB_KIND__TRAIN; k <= DISTILLD__JOB_KIND__EVAL; k++) {
        spec.kind = (Distilld__JobKind)k;
        if (strcmp(job_kind_name(&spec), kind) == 0)
            return true;
    }
    return false;
}

void reason_set(struct reason *r, const char *code, const char *fmt, ...)
{
    va_list ap;

    snprintf(r->code, sizeof(r->code), "%s", code);
    va_start(ap, fmt);
    vsnprintf(r->message, sizeof(r->message), fmt, ap);
    va_end(ap);
}

struct job_reason reason_kept(const struct reason *r)
{
    struct job_reason kept = {.message = NULL};

    if (r) {
        memcpy(kept.code, r->code, sizeof(kept.code));
        kept.message = r->message[0] ? str_dup(r->message) : NULL;
    }
    return kept;
}

void job_explain(struct job *j, const struct reason *r)
{
    const struct job_reason kept = reason_kept(r);

    free(j->reason.message);
    j->reason = kept;
}

const char *job_why(const struct job *j)
{
    return j->reason.message ? j->reason.message : "";
}

static void write_time(struct jw *w, const char *key, int64_t wall_ms)
{
    char text[CLOCK_TEXT];

    jw_string(w, key, wall_ms ? clock_text(wall_ms, text) : NULL);
}

/* A negative number stands for one that is not known. */
static void write_known(struct jw *w, const char *key, double v)
{
    if (v >= 0)
        jw_real(w, key, v);
    else
        jw_null(w, key);
}

static void write_progress(struct jw *w, const struct job *job)
{
    const struct job_progress *p = &job->progress;

    jw_begin_object(w, "progress");
    jw_int(w, "step", p->step);
    jw_int(w, "total_steps", p->total_steps);
    jw_int(w, "epoch", p->epoch);
    write_known(w, "eta_s", p->eta_s);
    write_known(w, "images_per_s", p->images_per_s);
    jw_string(w, "phase", p->phase[0] ? p->phase : NULL);
    write_time(w, "disconnected_since", job->unheard_ms);
    jw_end_object(w);
}

static void write_elastic(struct jw *w, const struct job *job)
{
    if (!job_is_elastic(job)) {
        jw_null(w, "elastic");
        return;
    }
    jw_begin_object(w, "elastic");
    jw_int(w, "min", job->ranks_min);
    jw_int(w, "max", job->ranks_max);
    jw_end_object(w);
}

void job_write_reason(struct jw *w, const char *key, const struct job *job)
{
    if (!job->reason.code[0]) {
        jw_null(w, key);
        return;
    }
    jw_begin_object(w, key);
    jw_string(w, "code", job->reason.code);
    jw_string(w, "message", job_why(job));
    jw_end_object(w);
}

void job_write_failures(struct jw *w, const char *key, const struct job *job)
{
    jw_begin_object(w, key);
    for (enum failure f = FAILURE_NONE + 1; f < FAILURE_COUNT; f++)
        if (job->failures[f])
            jw_int(w, failure_name(f), job->failures[f]);
    jw_end_object(w);
}

/* Text that was JSON when it was stored. A line feed would end a line of the event stream, and what nobody can
 * read would spoil the list that it stands in. */
static void write_embedded(struct jw *w, const char *key, const char *text)
{
    struct json *j;
    char *clean;

    if (!text || (text[0] == '{' && !strpbrk(text, "\r\n"))) {
        jw_json(w, key, text);
        return;
    }
    j = js_parse(text, strlen(text), NULL);
    clean = j ? js_text(j, JS_COMPACT) : NULL;
    jw_json(w, key, clean);
    free(clean);
    js_free(j);
}

static void write_sweep(struct jw *w, const struct job *job)
{
    const int64_t *made = job->sweep.made;

    jw_begin_object(w, "sweep");
    jw_int(w, "total", job->sweep.total);
    jw_int(w, "next", job_sweep_made(job));
    jw_int(w, "queued", made[JOB_QUEUED]);
    jw_int(w, "running", made[JOB_STARTING] + made[JOB_RUNNING]);
    jw_int(w, "done", made[JOB_SUCCEEDED]);
    jw_int(w, "failed", made[JOB_FAILED]);
    jw_int(w, "cancelled", made[JOB_CANCELLED]);
    jw_end_object(w);
}

static void write_origin(struct jw *w, const struct job_origin *o)
{
    struct json *place = o->place ? js_parse(o->place, strlen(o->place), NULL) : NULL;

    jw_begin_object(w, "sweep");
    jw_string(w, "parent", o->sweep);
    jw_int(w, "index", o->index);
    for (void *it = js_first(place); it; it = js_next(place, it)) {
        char *value = js_text(js_value(it), JS_COMPACT);

        jw_json(w, js_key(it), value);
        free(value);
    }
    jw_end_object(w);
    js_free(place);
}

void job_write(struct jw *w, const char *key, const struct job *job, bool with_spec)
{
    jw_begin_object(w, key);
    jw_string(w, "id", job->id);
    jw_string(w, "name", job->name);
    jw_string(w, "kind", job->kind);
    jw_string(w, "project", job->project);
    jw_string(w, "owner", job->owner[0] ? job->owner : NULL);
    jw_string(w, "state", job_state_name(job->state));
    job_write_reason(w, "reason", job);
    jw_bool(w, "cancel_requested", job->cancel_requested);
    jw_bool(w, "hold_requested", job->hold_requested);
    jw_int(w, "attempt", job->attempt);
    job_write_failures(w, "failures", job);
    write_time(w, "not_before", job->not_before_ms);
    write_time(w, "planned_start", job->planned_ms);
    jw_real(w, "ran_s", (double)job->ran_ms / 1e3);
    write_progress(w, job);
    write_time(w, "created_at", job->created_ms);
    write_time(w, "started_at", job->started_ms);
    write_time(w, "finished_at", job->finished_ms);
    jw_int(w, "ranks", job->ranks);
    write_elastic(w, job);
    jw_int(w, "priority", job->priority);
    jw_string(w, "traceparent", job->trace[0] ? job->trace : NULL);
    jw_string(w, "cloned_from", job->cloned_from[0] ? job->cloned_from : NULL);
    jw_string(w, "placement", job->placement);
    write_embedded(w, "result", job->result);
    if (job_is_sweep(job))
        write_sweep(w, job);
    else if (job->origin.sweep[0])
        write_origin(w, &job->origin);
    else
        jw_null(w, "sweep");
    if (with_spec)
        write_embedded(w, "spec", job->spec);
    jw_end_object(w);
}

char *job_text(const struct job *job, bool with_spec)
{
    struct buf b = buf_new(0);
    struct jw w = jw_new(&b);

    buf_reserve(&b, 1000 + (with_spec ? strlen(job->spec) : 0)); /* mostly enough */
    job_write(&w, NULL, job, with_spec);
    return buf_take(&b);
}

struct json *job_json(const struct job *job, bool with_spec)
{
    char *text = job_text(job, false);
    struct json *j = js_parse(text, strlen(text), NULL), *spec;

    free(text);
    if (!with_spec)
        return j;
    spec = js_parse(job->spec, strlen(job->spec), NULL);
    js_set(j, "spec", spec ? spec : js_new_null());
    return j;
}

char *job_progress_text(const struct job *job)
{
    struct buf b = buf_new(0);
    struct jw w = jw_new(&b);

    jw_begin_object(&w, NULL);
    jw_string(&w, "id", job->id);
    write_progress(&w, job);
    jw_end_object(&w);
    return buf_take(&b);
}
