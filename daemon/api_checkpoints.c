/* Checkpoints of a job. Looking at them, and what is done with one, reads and writes files, and so happens on another
 * thread; whether it may be done is decided between the two. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/api.h"
#include "daemon/audit.h"
#include "daemon/body.h"
#include "daemon/checkpoints.h"
#include "daemon/gc.h"
#include "daemon/problem.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum action {
    LIST,
    SHOW,
    PIN,
    UNPIN,
    REMOVE
};

static const char *const moves[] = {"newest", NULL};

struct call {
    struct daemon *daemon;
    enum action action;
    char job[JOB_ID_SIZE];
    bool over; /* the job is, so that its newest is not needed */
    char *name;
    struct checkpoint_list list;
    const struct checkpoint_entry *one;
    bool ok;
    struct error err;
};

static void call_free(struct call *c)
{
    checkpoints_free(&c->list);
    free(c->name);
    free(c);
}

static bool say_needed(const struct call *c, struct error *err)
{
    return err_set(err, ERR_CONFLICT,
                   "checkpoint %s is the newest of job %s, which goes on from it", c->name, c->job);
}

/* -- On another thread ----------------------------------------------------------------------------- */

static void look(void *arg)
{
    struct call *c = arg;
    int out = daemon_open_out(c->daemon, c->job, NULL); /* a job that never ran has none */

    if (out < 0)
        return;
    checkpoints_list(out, &c->list);
    close(out);
}

/* Those that were newer may have gone since it was looked at. */
static bool is_needed(const struct call *c, int out, struct error *err)
{
    struct checkpoint_list now;
    bool needed;

    if (c->over)
        return false;
    checkpoints_list(out, &now);
    needed = now.at.n && now.at.at[0].step == c->one->step;
    checkpoints_free(&now);
    return needed && !say_needed(c, err);
}

static void carry_out(void *arg)
{
    struct call *c = arg;
    int out = daemon_open_out(c->daemon, c->job, &c->err);

    if (out >= 0 && c->action == REMOVE)
        c->ok = !is_needed(c, out, &c->err) && checkpoints_remove(out, c->one, &c->err);
    else if (out >= 0)
        c->ok = checkpoints_pin(out, c->one, c->action == PIN, &c->err);
    if (out >= 0)
        close(out);
}

/* -- On the loop's ----------------------------------------------------------------------------------- */

static bool is_newest(const struct call *c, const struct checkpoint_entry *e)
{
    return e == c->list.at.at;
}

static struct json *text_or_null(const char *text)
{
    return *text ? js_new_string(text) : js_new_null();
}

static struct json *entry_json(const struct call *c, const struct checkpoint_entry *e)
{
    struct json *j = js_new_object();

    js_set(j, "name", js_new_string(e->name));
    js_set(j, "step", js_new_int(e->step));
    js_set(j, "size_bytes", js_new_int(e->size));
    js_set(j, "sha256", text_or_null(e->sha256));
    js_set(j, "created_at", text_or_null(e->written_at));
    js_set(j, "pinned", js_new_bool(e->pinned));
    js_set(j, "newest", js_new_bool(is_newest(c, e)));
    return j;
}

static void reply_list(struct request *r, const struct call *c)
{
    struct json *answer = js_new_object(), *items = js_new_array();

    for (size_t i = 0; i < c->list.at.n; i++)
        js_push(items, entry_json(c, &c->list.at.at[i]));
    js_set(answer, "items", items);
    reply_json(r, 200, answer);
}

/* Jobs of a sweep that was removed go after it. */
static bool goes_with_sweep(struct daemon *d, const struct job *j)
{
    struct job *sweep = j->origin.sweep[0] ? store_job_get(d->store, j->origin.sweep, NULL) : NULL;
    const bool goes = j->origin.sweep[0] && !sweep;

    job_destroy(sweep);
    return goes;
}

/* Whoever looks for what is old leaves the job from now on. False: it is gone already, and the answer was given. */
static bool keep_job(struct call *c, struct request *r)
{
    struct job *owned;
    const struct job *j = api_job_of(c->daemon, r, &owned);
    const bool goes = j && goes_with_sweep(c->daemon, j);

    if (goes)
        problem_reply(r, "gone", NULL, "the job is being removed with its sweep %s",
                      j->origin.sweep);
    else if (j)
        gc_spare(c->daemon, j);
    job_destroy(owned);
    return j && !goes;
}

static void done(struct request *r, void *arg)
{
    struct call *c = arg;
    struct checkpoint_entry *e = c->ok ? &c->list.at.at[c->one - c->list.at.at] : NULL;

    if (!c->ok) {
        problem_reply_error(r, &c->err);
    } else if (c->action == PIN && !keep_job(c, r)) {
        /* nothing that was pinned is left */
    } else if (c->action == REMOVE) {
        http_reply(r, 204, NULL, "", 0);
    } else {
        e->pinned = c->action == PIN;
        reply_resource(r, 200, entry_json(c, e), moves);
    }
    call_free(c);
}

static bool note(struct call *c, struct request *r, struct error *err)
{
    char *subject = str_fmt("%s/%s", c->job, c->name);
    bool ok = audit_note(c->daemon, r, subject, err);

    free(subject);
    return ok;
}

static bool may(const struct call *c, struct error *err)
{
    if (c->action == REMOVE && c->one->pinned)
        return err_set(err, ERR_CONFLICT, "checkpoint %s is pinned; unpin it first", c->name);
    return c->action != REMOVE || c->over || !is_newest(c, c->one) || say_needed(c, err);
}

/* It asks for nothing new. A pin is made anew, whoever made the mark that is seen: it may not be on disk yet. */
static bool is_so(const struct call *c)
{
    return c->action == SHOW || (c->action == UNPIN && !c->one->pinned);
}

static void looked(struct request *r, void *arg)
{
    struct call *c = arg;

    c->over = c->over && !daemon_active(c->daemon, c->job); /* it may have been retried */
    c->one = c->name ? checkpoints_find(&c->list, c->name) : NULL;
    if (c->action == LIST) {
        reply_list(r, c);
    } else if (!c->one) {
        problem_reply(r, "not_found", NULL, "job %s has no checkpoint \"%.60s\"", c->job, c->name);
    } else if (c->action != SHOW && !reply_may_change(r, entry_json(c, c->one), moves)) {
        /* told */
    } else if (is_so(c)) {
        reply_resource(r, 200, entry_json(c, c->one), moves);
    } else if (may(c, &c->err) && note(c, r, &c->err)) {
        http_work(r, carry_out, done, c);
        return;
    } else {
        problem_reply_error(r, &c->err);
    }
    call_free(c);
}

static void begin(struct daemon *d, struct request *r, enum action action)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);
    struct call *c;

    if (!j)
        return;
    c = NEW(struct call);
    c->daemon = d;
    c->action = action;
    c->over = job_is_final(j->state);
    snprintf(c->job, sizeof(c->job), "%s", j->id);
    c->name = r->params[1] ? str_dup(r->params[1]) : NULL;
    job_destroy(owned);
    http_work(r, look, looked, c);
}

void api_checkpoint_list(struct daemon *d, struct request *r)
{
    begin(d, r, LIST);
}

void api_checkpoint_get(struct daemon *d, struct request *r)
{
    begin(d, r, SHOW);
}

void api_checkpoint_change(struct daemon *d, struct request *r)
{
    static const struct member members[] = {{"pinned", JS_BOOL, true, NULL}};
    struct json *body = body_read(r, "a change of a checkpoint", members, ARRAY_LEN(members));

    if (body)
        begin(d, r, js_bool(js_get(body, "pinned"), false) ? PIN : UNPIN);
    js_free(body);
}

void api_checkpoint_delete(struct daemon *d, struct request *r)
{
    begin(d, r, REMOVE);
}
