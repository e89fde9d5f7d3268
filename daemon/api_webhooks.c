/* Webhooks: who is told of changes, and what became of each message. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/body.h"
#include "daemon/courier.h"
#include "daemon/listing.h"
#include "daemon/post.h"
#include "daemon/problem.h"
#include "daemon/reach.h"
#include "daemon/webhooks.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"

static bool is_url(const struct json *value, struct error *err)
{
    return post_check_url(js_string(value, ""), err);
}

static bool are_states(const struct json *value, struct error *err)
{
    enum job_state state;

    if (js_len(value) == 0)
        return err_set(err, ERR_INVALID, "expected names of job states, got none");
    for (size_t i = 0; i < js_len(value); i++)
        if (!job_state_parse(js_string(js_at(value, i), ""), &state))
            return err_set(err, ERR_INVALID, "entry %zu: expected the name of a job state, got %s",
                           i, js_string(js_at(value, i), js_kind_name(js_kind(js_at(value, i)))));
    return true;
}

/* Without a wish: how jobs end. */
static struct json *ends(void)
{
    struct json *states = js_new_array();

    for (enum job_state s = 0; s < JOB_STATE_COUNT; s++)
        if (job_is_final(s))
            js_push(states, js_new_string(job_state_name(s)));
    return states;
}

static const char *const moves[] = {"failure", "pending", NULL};

/* The one that the address names, in *w. False when the answer was given. */
static bool take_webhook(struct daemon *d, struct request *r, struct webhook *w)
{
    struct error err;

    if (webhook_find(d->store, r->params[0], w, &err))
        return true;
    problem_reply_error(r, &err);
    return false;
}

void api_webhook_add(struct daemon *d, struct request *r)
{
    static const struct member members[] = {
        {"url", JS_STRING, true, is_url},
        {"states", JS_ARRAY, false, are_states},
    };
    struct json *body = body_read(r, "a webhook", members, ARRAY_LEN(members)), *answer;
    const struct json *states = js_get(body, "states");
    struct webhook w = {.enabled = true, .created_ms = clock_wall_ms()};
    struct error err;
    char *text;

    if (!body)
        return;
    w.url = str_dup(js_string(js_get(body, "url"), ""));
    w.states = js_kind(states) == JS_ARRAY ? js_copy(states) : ends();
    snprintf(w.project, sizeof(w.project), "%s", r->caller.project);
    js_free(body);
    if (webhook_add(d->store, &w, &err)) {
        char *location = str_fmt("/api/v1/webhooks/%s", w.id);

        answer = webhook_json(&w);
        text = webhook_secret_text(&w);
        js_set(answer, "secret", js_new_string(text));
        http_add_header(r, "Location", location);
        reply_json(r, 201, answer);
        free(text);
        free(location);
    } else {
        problem_reply_error(r, &err);
    }
    webhook_fini(&w);
}

static void add_to_list(const struct webhook *w, void *arg)
{
    struct listing *l = arg;

    if (listing_has_room(l))
        listing_add(l, w->seq, webhook_json(w));
}

void api_webhook_list(struct daemon *d, struct request *r)
{
    struct listing l;
    struct error err;

    if (!listing_begin(d, r, "", &l))
        return;
    if (webhooks_page(d->store, reach_only(&r->caller), l.before, (int64_t)l.limit + 1, add_to_list,
                      &l, &err)) {
        listing_reply(d, r, &l, "/api/v1/webhooks", "");
    } else {
        listing_drop(&l);
        problem_reply_error(r, &err);
    }
}

void api_webhook_get(struct daemon *d, struct request *r)
{
    struct webhook w;

    if (!take_webhook(d, r, &w))
        return;
    reply_resource(r, 200, webhook_json(&w), moves);
    webhook_fini(&w);
}

static bool refuse_without_states(struct request *r, const struct webhook *w)
{
    struct problems p = {0};

    problems_add(&p, "#/states", "expected names of job states, got none; %s", w->failure);
    problem_reply(r, "invalid", &p, "a webhook that is damaged");
    problems_free(&p);
    return false;
}

/* Enabled again, it is as if it had not failed. False when the answer was given. */
static bool change(struct request *r, struct webhook *w, const struct json *body)
{
    const struct json *url = js_get(body, "url"), *states = js_get(body, "states");

    if (js_kind(url) == JS_STRING) {
        free(w->url);
        w->url = str_dup(js_string(url, ""));
    }
    if (js_kind(states) == JS_ARRAY) {
        js_free(w->states);
        w->states = js_copy(states);
    }
    if (!w->states)
        return refuse_without_states(r, w);
    w->enabled = js_bool(js_get(body, "enabled"), w->enabled);
    if (w->enabled) {
        free(w->failure);
        w->failure = NULL;
    }
    return true;
}

void api_webhook_change(struct daemon *d, struct request *r)
{
    static const struct member members[] = {
        {"url", JS_STRING, false, is_url},
        {"states", JS_ARRAY, false, are_states},
        {"enabled", JS_BOOL, false, NULL},
    };
    struct webhook w;
    struct error err;
    struct json *body;

    if (!take_webhook(d, r, &w))
        return;
    body = reply_may_change(r, webhook_json(&w), moves)
               ? body_read(r, "a change of a webhook", members, ARRAY_LEN(members))
               : NULL;
    if (body && change(r, &w, body)) {
        if (webhook_update(d->store, &w, &err))
            reply_resource(r, 200, webhook_json(&w), moves);
        else
            problem_reply_error(r, &err);
        courier_soon(d);
    }
    js_free(body);
    webhook_fini(&w);
}

void api_webhook_delete(struct daemon *d, struct request *r)
{
    struct webhook w;
    struct error err;

    if (!take_webhook(d, r, &w))
        return;
    if (reply_may_change(r, webhook_json(&w), moves)) {
        if (webhook_remove(d->store, &w, &err))
            http_reply(r, 204, NULL, "", 0);
        else
            problem_reply_error(r, &err);
    }
    webhook_fini(&w);
}

/* -- Messages ------------------------------------------------------------------------------------- */

/* After something was put into the outbox. */
static void reply_accepted(struct daemon *d, struct request *r, bool ok, const struct error *err)
{
    if (!ok) {
        problem_reply_error(r, err);
        return;
    }
    http_reply(r, 202, NULL, "", 0);
    courier_soon(d);
}

void api_webhook_test(struct daemon *d, struct request *r)
{
    struct webhook w;
    struct error err;

    if (!take_webhook(d, r, &w))
        return;
    reply_accepted(d, r, delivery_test(d->store, &w, clock_wall_ms(), &err), &err);
    webhook_fini(&w);
}

static void add_delivery(const struct delivery *m, void *arg)
{
    struct listing *l = arg;

    if (listing_has_room(l))
        listing_add(l, m->id, delivery_json(m));
}

void api_webhook_deliveries(struct daemon *d, struct request *r)
{
    struct webhook w;
    struct listing l;
    struct error err;
    char *path;

    if (!take_webhook(d, r, &w))
        return;
    path = str_fmt("/api/v1/webhooks/%s/deliveries", w.id);
    if (listing_begin(d, r, "", &l)) {
        if (deliveries_page(d->store, &w, l.before, (int64_t)l.limit + 1, add_delivery, &l, &err)) {
            listing_reply(d, r, &l, path, "");
        } else {
            listing_drop(&l);
            problem_reply_error(r, &err);
        }
    }
    free(path);
    webhook_fini(&w);
}

void api_webhook_redeliver(struct daemon *d, struct request *r)
{
    struct webhook w;
    struct error err;
    int64_t id = 0;
    bool ok;

    if (!take_webhook(d, r, &w))
        return;
    ok = (str_int(r->params[1], 1, INT64_MAX, &id) ||
          err_set(&err, ERR_NOT_FOUND, "webhook %s has no delivery %.40s", w.id, r->params[1])) &&
         delivery_again(d->store, &w, id, clock_wall_ms(), &err);
    reply_accepted(d, r, ok, &err);
    webhook_fini(&w);
}
