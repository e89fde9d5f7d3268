#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/abilities.h"
#include "daemon/accept.h"
#include "daemon/api.h"
#include "daemon/audit.h"
#include "daemon/body.h"
#include "daemon/draft.h"
#include "daemon/intake.h"
#include "daemon/lifecycle.h"
#include "daemon/problem.h"
#include "daemon/reach.h"
#include "daemon/refs.h"
#include "daemon/sched.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    CANCEL_GRACE_MAX_S = 3600
};

const struct job *api_find_job(struct daemon *d, const struct caller *who, const char *id,
                               struct job **owned, struct error *err)
{
    struct active *a = daemon_active(d, id);

    *owned = NULL;
    if (!reach_job(d, who, id, err))
        return NULL;
    if (a)
        sched_explain(d, a);
    *owned = a ? NULL : store_job_get(d->store, id, err);
    return a ? a->job : *owned;
}

const struct job *api_job_of(struct daemon *d, struct request *r, struct job **owned)
{
    struct error err;
    const struct job *j = api_find_job(d, &r->caller, r->params[0], owned, &err);

    if (!j)
        problem_reply_error(r, &err);
    return j;
}

int api_accept(struct request *r, const char *const *types, int n)
{
    const int chosen = accept_choose(http_header_list(r, "Accept"), types, n);
    struct buf all = buf_new(0);

    http_add_header(r, "Vary", "Accept");
    for (int i = 0; chosen < 0 && i < n; i++)
        buf_fmt(&all, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", types[i]);
    if (chosen < 0)
        problem_reply(r, "not_acceptable", NULL, "Accept: there is %s; asked for: %.200s",
                      buf_text(&all), http_header_list(r, "Accept"));
    buf_free(&all);
    return chosen;
}

bool api_number(struct request *r, const char *name, int64_t lo, int64_t hi, int64_t fallback,
                int64_t *out)
{
    const char *text = http_query(r, name);

    *out = fallback;
    if (!text || str_int(text, lo, hi, out))
        return true;
    problem_reply(r, "bad_request", NULL,
                  "%s: expected a whole number from %" PRId64 " to %" PRId64 ", got \"%.100s\"",
                  name, lo, hi, text);
    return false;
}

bool api_flag(struct request *r, const char *name, bool *out)
{
    const char *text = http_query(r, name);

    *out = text && strcmp(text, "true") == 0;
    if (!text || *out || strcmp(text, "false") == 0)
        return true;
    problem_reply(r, "bad_request", NULL, "%s: expected true or false, got \"%.100s\"", name, text);
    return false;
}

/* -- Submission -------------------------------------------------------------------------------- */

bool api_is_json(const struct request *r)
{
    static const char type[] = "application/json";
    const char *header = http_header(r, "Content-Type");

    return header && strncasecmp(header, type, strlen(type)) == 0 &&
           (!header[strlen(type)] || strchr("; \t", header[strlen(type)]));
}

struct json *api_body(struct request *r, const char *what)
{
    struct error err;
    struct json *j;

    if (!api_is_json(r)) {
        problem_reply(r, "unsupported_media_type", NULL, "%s is sent as application/json", what);
        return NULL;
    }
    j = js_parse(buf_text(&r->body), r->body.len, &err);
    if (!j)
        problem_reply(r, "bad_request", NULL, "%s", err.msg);
    return j;
}

struct job *api_take_job(struct daemon *d, struct request *r, struct json *take_written,
                         const struct js_part *sent)
{
    const struct draft_client client = {d, &r->caller, r->trace};
    struct draft f;
    struct job *j;

    if (!take_written)
        return NULL;
    draft_begin(&f, &client, take_written, sent);
    j = draft_end(&f, &client);
    if (!j)
        problem_reply(r, "invalid", &f.problems, "the job has %zu problem%s", f.problems.list.n,
                      f.problems.list.n == 1 ? "" : "s");
    draft_fini(&f);
    return j;
}

static char *answer_job(const struct intake_request *q)
{
    return job_text(q->jobs.at[0], true);
}

void api_accept_job(struct daemon *d, struct request *r, struct job *take_job,
                    const struct idempotency *idempotency)
{
    struct intake_request *q = NEW(struct intake_request);

    q->r = r;
    q->idempotency = *idempotency;
    q->answer = answer_job;
    q->locate = true;
    vec_push(&q->jobs, take_job);
    intake_add(d, q);
}

static void take_job(struct daemon *d, struct request *r)
{
    const struct js_part sent = {buf_text(&r->body), r->body.len};
    struct idempotency idempotency;
    struct json *answer;
    struct job *j;
    bool validate;

    if (!api_flag(r, "validate_only", &validate) ||
        (!validate && !idempotency_begin(d, r, &idempotency)))
        return;
    j = api_take_job(d, r, api_body(r, "a job"), &sent);
    if (!j)
        return;
    if (!validate) {
        api_accept_job(d, r, j, &idempotency);
        return;
    }
    answer = js_new_object();
    js_set(answer, "spec", js_parse(j->spec, strlen(j->spec), NULL));
    js_set(answer, "jobs", js_new_int(job_is_sweep(j) ? j->sweep.total : 1));
    reply_json(r, 200, answer);
    job_destroy(j);
}

void api_job_submit(struct daemon *d, struct request *r)
{
    abilities_then(d, r, take_job);
}

/* -- Reading ----------------------------------------------------------------------------------- */

/* What somebody who decides on a change has to know: not how far it is, or when it may start. */
void api_job_etag(const struct job *j, const char *text, char etag[ETAG_SIZE])
{
    char *state = str_fmt("%s %s %d%d%d%d %" PRId64 " %" PRId64 " %" PRId64 " %s\n%s", j->id,
                          job_state_name(j->state), j->cancel_requested, j->hold_requested,
                          j->resize_requested, j->yield_requested, j->attempt, j->ranks,
                          j->priority, j->name, j->spec);

    etag_of_state(state, text, strlen(text), etag);
    free(state);
}

void api_job_get(struct daemon *d, struct request *r)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);
    struct json *answer = j ? job_json(j, true) : NULL;
    char etag[ETAG_SIZE], *text;

    if (answer) {
        js_set(answer, "uses", refs_json(d, j->id));
        text = js_text(answer, JS_COMPACT);
        api_job_etag(j, text, etag);
        reply_json_etag(r, 200, etag, text);
        js_free(answer);
    }
    job_destroy(owned);
}

/* -- Verbs ------------------------------------------------------------------------------------- */

static void reply_job(struct daemon *d, struct request *r, int status)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);

    if (j)
        reply_json_text(r, status, job_text(j, true));
    job_destroy(owned);
}

static bool is_mode(const struct json *value, struct error *err)
{
    const char *mode = js_string(value, "");

    return strcmp(mode, "graceful") == 0 || strcmp(mode, "now") == 0 ||
           err_set(err, ERR_INVALID, "expected graceful or now, got \"%.40s\"", mode);
}

static bool is_grace(const struct json *value, struct error *err)
{
    const int64_t s = js_int(value, 0);

    return (s >= 0 && s <= CANCEL_GRACE_MAX_S) ||
           err_set(err, ERR_INVALID, "expected 0 to %d seconds, got %" PRId64, CANCEL_GRACE_MAX_S,
                   s);
}

/* {"mode", "grace_s"}, or nothing. False when the answer was given. */
static bool take_grace(struct request *r, int64_t *grace_s)
{
    static const struct member members[] = {{"mode", JS_STRING, false, is_mode},
                                            {"grace_s", JS_INT, false, is_grace}};
    struct json *body;
    struct problems p = {0};
    bool now;

    *grace_s = -1;
    if (!r->body.len)
        return true;
    body = body_read(r, "a cancel", members, ARRAY_LEN(members));
    if (!body)
        return false;
    now = strcmp(js_string(js_get(body, "mode"), ""), "now") == 0;
    *grace_s = js_int(js_get(body, "grace_s"), now ? 0 : -1);
    js_free(body);
    if (!now || *grace_s == 0)
        return true;
    problems_add(&p, "#/grace_s", "expected 0 or nothing with the mode now, got %" PRId64,
                 *grace_s);
    problem_reply(r, "invalid", &p, "a cancel is at once, or leaves time");
    problems_free(&p);
    return false;
}

void api_job_cancel(struct daemon *d, struct request *r)
{
    struct error err;
    int64_t grace_s;

    if (!take_grace(r, &grace_s))
        return;
    if (lifecycle_cancel(d, r->params[0], grace_s, &err))
        reply_job(d, r, 202);
    else
        problem_reply_error(r, &err);
}

void api_job_retry(struct daemon *d, struct request *r)
{
    struct error err;

    if (lifecycle_retry(d, r->params[0], &err))
        reply_job(d, r, 202);
    else
        problem_reply_error(r, &err);
}

/* 200 where it was so already. */
static void act_once(struct daemon *d, struct request *r,
                     bool (*verb)(struct daemon *d, const char *id, bool *already,
                                  struct error *err))
{
    struct error err;
    bool already;

    if (verb(d, r->params[0], &already, &err))
        reply_job(d, r, already ? 200 : 202);
    else
        problem_reply_error(r, &err);
}

static bool hold(struct daemon *d, const char *id, bool *already, struct error *err)
{
    return lifecycle_hold(d, id, true, already, err);
}

static bool release(struct daemon *d, const char *id, bool *already, struct error *err)
{
    return lifecycle_hold(d, id, false, already, err);
}

void api_job_hold(struct daemon *d, struct request *r)
{
    act_once(d, r, hold);
}

void api_job_release(struct daemon *d, struct request *r)
{
    act_once(d, r, release);
}

void api_job_preempt(struct daemon *d, struct request *r)
{
    act_once(d, r, lifecycle_step_back);
}

void api_job_checkpoint(struct daemon *d, struct request *r)
{
    struct error err;

    if (lifecycle_checkpoint(d, r->params[0], &err) && audit_note(d, r, r->params[0], &err))
        reply_job(d, r, 202);
    else
        problem_reply_error(r, &err);
}
