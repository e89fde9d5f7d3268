/* /gc:plan and /gc:run, and what else removes jobs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/audit.h"
#include "daemon/body.h"
#include "daemon/gc.h"
#include "daemon/problem.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    DAYS_MAX = 36500
};

struct call {
    struct daemon *daemon;
    struct request *r;
    struct gc_rules rules;
    struct gc_plan *plan;
    struct gc_outcome outcome;
    struct error err;
};

static struct call *new_call(struct daemon *d, struct request *r)
{
    struct call *c = NEW(struct call);

    c->daemon = d;
    c->r = r;
    return c;
}

/* -- Plans -------------------------------------------------------------------------------------- */

static struct json *item_json(const struct gc_item *i)
{
    struct json *j = js_new_object();

    js_set(j, "kind", js_new_string(gc_kind_name(i->kind)));
    js_set(j, "name", js_new_string(i->name));
    js_set(j, "files", js_new_int(i->files));
    js_set(j, "size_bytes", js_new_int(i->bytes));
    js_set(j, "reason", js_new_string(gc_kind_why(i->kind)));
    return j;
}

static struct json *plan_json(const struct gc_plan *p)
{
    struct json *j = js_new_object(), *items = js_new_array();
    char when[CLOCK_TEXT];

    for (size_t i = 0; i < p->items.n; i++)
        js_push(items, item_json(&p->items.at[i]));
    js_set(j, "plan", js_new_string(p->id));
    js_set(j, "made_at", js_new_string(clock_text(p->made_ms, when)));
    js_set(j, "items", items);
    js_set(j, "files", js_new_int(p->files));
    js_set(j, "size_bytes", js_new_int(p->bytes));
    js_set(j, "more", js_new_bool(p->more));
    return j;
}

static void make_plan(void *arg)
{
    struct call *c = arg;

    c->plan = gc_plan_make(&c->rules, &c->err);
}

static void answer_plan(struct request *r, void *arg)
{
    struct call *c = arg;

    gc_rules_free(&c->rules);
    if (c->plan)
        reply_json(r, 200, plan_json(gc_keep(c->daemon, c->plan)));
    else
        problem_reply_error(r, &c->err);
    free(c);
}

static bool is_days(const struct json *value, struct error *err)
{
    const int64_t days = js_int(value, -1);

    return (days >= 0 && days <= DAYS_MAX) ||
           err_set(err, ERR_INVALID,
                   "expected a number of days from 0 (for ever) to %d, got %" PRId64, DAYS_MAX,
                   days);
}

/* The body may be left out. False when the answer was given; js_free. */
static bool take_body(struct request *r, const char *what, const struct member *members, size_t n,
                      struct json **body)
{
    *body = r->body.len ? body_read(r, what, members, n) : NULL;
    return *body || !r->body.len;
}

void api_gc_plan(struct daemon *d, struct request *r)
{
    static const struct member members[] = {{"retention_days", JS_INT, false, is_days}};
    struct json *body;
    struct call *c;

    if (!take_body(r, "a plan", members, ARRAY_LEN(members), &body))
        return;
    c = new_call(d, r);
    gc_rules_take(d, js_int(js_get(body, "retention_days"), -1), &c->rules);
    js_free(body);
    http_work(r, make_plan, answer_plan, c);
}

/* -- Runs ---------------------------------------------------------------------------------------- */

static void answer_run(struct request *r, void *arg)
{
    struct call *c = arg;
    const struct gc_outcome *o = &c->outcome;
    struct json *j = js_new_object();

    js_set(j, "plan", js_new_string(o->plan));
    js_set(j, "removed", js_new_int(o->removed));
    js_set(j, "size_bytes", js_new_int(o->bytes));
    js_set(j, "skipped", js_new_int(o->skipped));
    js_set(j, "failed", js_new_int(o->failed));
    js_set(j, "stopped", js_new_bool(o->stopped));
    reply_json(r, 200, j);
    free(c);
}

static void on_done(const struct gc_outcome *o, void *arg)
{
    struct call *c = arg;

    c->outcome = *o;
    http_release(c->r);
}

/* Before anything goes. */
static bool note_run(void *arg, struct error *err)
{
    struct call *c = arg;

    return audit_record(c->daemon, c->r, c->outcome.plan, 200, err);
}

static void run(struct call *c, const char *plan)
{
    snprintf(c->outcome.plan, sizeof(c->outcome.plan), "%s", plan);
    if (gc_run(c->daemon, plan, note_run, on_done, c, &c->err)) {
        http_hold(c->r, answer_run, c);
        return;
    }
    c->r->audited = 0;
    problem_reply_error(c->r, &c->err);
    free(c);
}

static void run_fresh(struct request *r, void *arg)
{
    struct call *c = arg;

    gc_rules_free(&c->rules);
    if (c->plan) {
        run(c, gc_keep(c->daemon, c->plan)->id);
        return;
    }
    problem_reply_error(r, &c->err);
    free(c);
}

void api_gc_run(struct daemon *d, struct request *r)
{
    static const struct member members[] = {{"plan", JS_STRING, false, NULL}};
    struct json *body;
    const char *plan;
    struct call *c;

    if (!take_body(r, "a run", members, ARRAY_LEN(members), &body))
        return;
    plan = js_string(js_get(body, "plan"), NULL);
    c = new_call(d, r);
    if (plan) {
        run(c, plan);
    } else {
        gc_rules_take(d, -1, &c->rules);
        http_work(r, make_plan, run_fresh, c);
    }
    js_free(body);
}

/* -- One job -------------------------------------------------------------------------------------- */

static bool remove_job(struct daemon *d, const struct job *j, const struct request *r,
                       struct error *err)
{
    char *cause = str_fmt("DELETE with token %s", r->caller.id);
    bool ok =
        store_begin(d->store, err) && purge_store(d, j, cause, err) && store_commit(d->store, err);

    if (!ok)
        store_rollback(d->store);
    free(cause);
    return ok;
}

static void reply_removed(struct request *r, const struct job *j)
{
    struct json *answer = js_new_object();

    js_set(answer, "id", js_new_string(j->id));
    js_set(answer, "name", js_new_string(j->name));
    js_set(answer, "state", js_new_string(job_state_name(j->state)));
    reply_json(r, 202, answer);
}

void api_job_delete(struct daemon *d, struct request *r)
{
    struct named named;
    struct error err;
    struct job *j;

    named_take(d, &named);
    j = purge_look(d, r->params[0], &named, &err);
    named_free(&named);
    if (j && !api_job_matches(r, j)) {
        /* it has its answer */
    } else if (j && remove_job(d, j, r, &err)) {
        purge_stored(d, j);
        reply_removed(r, j);
    } else {
        problem_reply_error(r, &err);
    }
    job_destroy(j);
}
