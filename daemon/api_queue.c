/* The queue as a whole, and what it would do with one more job. */
#include <stdlib.h>

#include "daemon/abilities.h"
#include "daemon/api.h"
#include "daemon/draft.h"
#include "daemon/hosts.h"
#include "daemon/listing.h"
#include "daemon/needs.h"
#include "daemon/problem.h"
#include "daemon/projects.h"
#include "daemon/reach.h"
#include "daemon/sched.h"
#include "proto/base/clock.h"

enum {
    /* Places in line that are looked at for one page: a caller who sees one project may find few in many. */
    LOOKED_AT = 2000
};

static void write_summary(struct daemon *d, const struct request *r, struct jw *w)
{
    int64_t waiting = 0, running = 0;

    for (size_t i = 0; i < d->active.n; i++) {
        const struct job *one = d->active.at[i]->job;

        if (job_is_sweep(one) || !reach_sees(&r->caller, one->project))
            continue;
        waiting += one->state == JOB_QUEUED;
        running += one->state != JOB_QUEUED;
    }
    jw_bool(w, "paused", d->paused);
    jw_int(w, "slots", d->settings.slots);
    jw_int(w, "used_slots", hosts_used(d));
    jw_int(w, "waiting", waiting);
    jw_int(w, "running", running);
}

static void reply_summary(struct daemon *d, struct request *r)
{
    struct buf text = buf_new(0);
    struct jw w = jw_new(&text);

    jw_begin_object(&w, NULL);
    write_summary(d, r, &w);
    jw_end_object(&w);
    reply_json_text(r, 200, buf_take(&text));
}

/* -- Who waits ----------------------------------------------------------------------------------------- */

struct line_page {
    const struct caller *caller;
    struct listing list;
};

static void write_waiting(struct jw *w, const struct job *j, size_t place)
{
    char text[CLOCK_TEXT];

    jw_begin_object(w, NULL);
    jw_string(w, "id", j->id);
    jw_string(w, "name", j->name);
    jw_string(w, "project", j->project);
    jw_int(w, "priority", j->priority);
    jw_int(w, "ranks", j->ranks);
    jw_int(w, "threads", j->threads);
    if (place)
        jw_int(w, "place", (int64_t)place);
    else
        jw_null(w, "place");
    jw_string(w, "planned_start", j->planned_ms ? clock_text(j->planned_ms, text) : NULL);
    job_write_reason(w, "reason", j);
    jw_end_object(w);
}

static bool add_waiting(struct active *a, size_t place, void *arg)
{
    struct line_page *p = arg;

    if (!reach_sees(p->caller, a->job->project))
        return true;
    if (!listing_has_room(&p->list))
        return false;
    write_waiting(listing_write(&p->list, 0), a->job, place);
    return true;
}

void api_queue(struct daemon *d, struct request *r)
{
    static const char path[] = "/api/v1/queue";
    struct line_page p = {.caller = &r->caller};

    if (!listing_begin(d, r, "", &p.list))
        return;
    p.list.last = sched_each_waiting(d, p.list.before, LOOKED_AT, add_waiting, &p);
    p.list.more = p.list.last != 0;
    write_summary(d, r, listing_end(d, r, &p.list, path, ""));
    listing_send(d, r, &p.list);
}

/* -- Whether it goes on -------------------------------------------------------------------------------- */

static void set_paused(struct daemon *d, struct request *r, bool paused)
{
    struct error err;

    if (sched_set_paused(d, paused, &err))
        reply_summary(d, r);
    else
        problem_reply_error(r, &err);
}

void api_queue_pause(struct daemon *d, struct request *r)
{
    set_paused(d, r, true);
}

void api_queue_resume(struct daemon *d, struct request *r)
{
    set_paused(d, r, false);
}

/* -- What would be -------------------------------------------------------------------------------------- */

/* What POST /jobs would answer instead. */
static struct json *refusal(const char *code, const char *detail, const struct problems *errors)
{
    const struct problem_kind *k = problem_find(code);
    struct json *j = js_new_object();

    js_set(j, "status", js_new_int(k->status));
    js_set(j, "code", js_new_string(k->code));
    js_set(j, "detail", js_new_string(detail));
    if (errors)
        js_set(j, "errors", problems_json(errors));
    return j;
}

static struct json *refusal_of(const struct error *err)
{
    const char *code = err_name(err->code);

    return refusal(problem_find(code) ? code : "failed", err->msg, NULL);
}

static struct json *forecast_json(const struct sched_forecast *f)
{
    struct json *j = js_new_object(), *why = js_new_null();
    char text[CLOCK_TEXT];

    if (f->why.code[0]) {
        js_free(why);
        why = js_new_object();
        js_set(why, "code", js_new_string(f->why.code));
        js_set(why, "message", js_new_string(f->why.message));
    }
    js_set(j, "starts_now", js_new_bool(f->starts));
    js_set(j, "ranks", js_new_int(f->ranks));
    js_set(j, "placement", f->placement ? js_new_string(f->placement) : js_new_null());
    js_set(j, "planned_start",
           f->planned_ms ? js_new_string(clock_text(f->planned_ms, text)) : js_new_null());
    js_set(j, "ahead", js_new_int((int64_t)f->ahead));
    js_set(j, "stops", js_new_int((int64_t)f->stops));
    js_set(j, "reason", why);
    return j;
}

/* Of a sweep, for the first of its jobs. */
static struct json *look_ahead(struct daemon *d, struct job *j)
{
    struct sched_forecast f;
    struct json *answer;

    j->sweep.total = 0;
    sched_forecast(d, j, &f);
    answer = forecast_json(&f);
    free(f.placement);
    return answer;
}

static void reply_forecast(struct daemon *d, struct request *r, struct job *j,
                           const struct problems *p)
{
    struct json *answer = js_new_object(), *why_not = NULL;
    int64_t jobs = j && job_is_sweep(j) ? j->sweep.total : 1;
    struct error err;

    if (!j)
        why_not = refusal("invalid", "the job is not valid", p);
    else if (!projects_has_room(d, j->project, &err) || !needs_look(d, j, &err))
        why_not = refusal_of(&err);
    js_set(answer, "admitted", js_new_bool(!why_not));
    js_set(answer, "jobs", js_new_int(j ? jobs : 0));
    js_set(answer, "forecast", why_not ? js_new_null() : look_ahead(d, j));
    js_set(answer, "refusal", why_not ? why_not : js_new_null());
    reply_json(r, 200, answer);
}

static void simulate(struct daemon *d, struct request *r)
{
    const struct draft_client client = {d, &r->caller, NULL};
    struct json *written = api_body(r, "a job");
    struct draft f;
    struct job *j;

    if (!written)
        return;
    draft_begin(&f, &client, written, NULL);
    j = draft_end(&f, &client);
    reply_forecast(d, r, j, &f.problems);
    job_destroy(j);
    draft_fini(&f);
}

void api_queue_simulate(struct daemon *d, struct request *r)
{
    abilities_then(d, r, simulate);
}
