/* /tokens: who else may ask, and for what. A secret is in one answer, and nowhere else. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/body.h"
#include "daemon/listing.h"
#include "daemon/problem.h"
#include "daemon/tokens.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

static const char *const moves[] = {"last_used_at", "old_secret_until", NULL};

static void reply_token(struct request *r, int status, const struct token *t, const char *secret)
{
    struct json *j = token_json(t, clock_wall_ms());

    if (secret)
        js_set(j, "token", js_new_string(secret));
    if (status == 200 && !secret)
        reply_resource(r, status, j, moves);
    else
        reply_json(r, status, j);
}

/* -- Making ------------------------------------------------------------------------------------ */

static bool is_name(const struct json *value, struct error *err)
{
    const char *name = js_string(value, "");
    size_t n = strlen(name), plain = 0;

    while (name[plain] >= ' ' && name[plain] <= '~')
        plain++;
    return (n >= 1 && n <= TOKEN_NAME_MAX && plain == n) ||
           err_set(err, ERR_INVALID, "expected 1 to %d printable ASCII characters, got \"%.80s\"",
                   TOKEN_NAME_MAX, name);
}

static bool is_scope(const struct json *value, struct error *err)
{
    enum scope scope;

    return scope_parse(js_string(value, ""), &scope) ||
           err_set(err, ERR_INVALID, "expected read, submit, operate or admin, got \"%.40s\"",
                   js_string(value, ""));
}

static bool is_lifetime(const struct json *value, struct error *err)
{
    int64_t s = js_int(value, 0);

    return (s >= 1 && s <= TOKEN_LONGEST_S) ||
           err_set(err, ERR_INVALID, "expected 1 to %d seconds (a year), got %" PRId64,
                   TOKEN_LONGEST_S, s);
}

static bool is_project(const struct json *value, struct error *err)
{
    return ref_check_name(js_string(value, ""), err);
}

/* What only one project is to be reached by cannot make tokens for others. False when the answer was given. */
static bool is_allowed(struct request *r, const struct token *t)
{
    struct problems p = {0};

    if (!t->project[0] || t->scope < SCOPE_ADMIN)
        return true;
    problems_add(&p, "#/scope", "expected read, submit or operate for a token of a project, got %s",
                 scope_name(t->scope));
    problem_reply(r, "invalid", &p, "a token of a project cannot have this scope");
    problems_free(&p);
    return false;
}

void api_token_create(struct daemon *d, struct request *r)
{
    static const struct member members[] = {
        {"name", JS_STRING, true, is_name},
        {"scope", JS_STRING, true, is_scope},
        {"project", JS_STRING, false, is_project},
        {"expires_in_s", JS_INT, false, is_lifetime},
    };
    struct json *body = body_read(r, "a token", members, ARRAY_LEN(members));
    struct token t = {.seq = 0};
    char secret[SECRET_SIZE], *location;
    struct error err;

    if (!body)
        return;
    snprintf(t.name, sizeof(t.name), "%s", js_string(js_get(body, "name"), ""));
    scope_parse(js_string(js_get(body, "scope"), ""), &t.scope);
    snprintf(t.project, sizeof(t.project), "%s", js_string(js_get(body, "project"), ""));
    t.expires_ms =
        clock_wall_ms() + js_int(js_get(body, "expires_in_s"), TOKEN_DEFAULT_S) * INT64_C(1000);
    js_free(body);
    if (!is_allowed(r, &t))
        return;
    if (!token_add(d, &t, secret, &err)) {
        problem_reply_error(r, &err);
        return;
    }
    location = str_fmt("/api/v1/tokens/%s", t.id);
    http_add_header(r, "Location", location);
    reply_token(r, 201, &t, secret);
    free(location);
}

/* -- Reading ----------------------------------------------------------------------------------- */

static void add_to_list(const struct token *t, void *arg)
{
    struct listing *l = arg;

    if (listing_has_room(l))
        listing_add(l, t->seq, token_json(t, clock_wall_ms()));
}

void api_token_list(struct daemon *d, struct request *r)
{
    struct listing l;
    struct error err;

    if (!listing_begin(d, r, "", &l))
        return;
    if (tokens_page(d, l.before, (int64_t)l.limit + 1, add_to_list, &l, &err)) {
        listing_reply(d, r, &l, "/api/v1/tokens", "");
    } else {
        listing_drop(&l);
        problem_reply_error(r, &err);
    }
}

/* params[0]. False when the answer was given. */
static bool take_token(struct daemon *d, struct request *r, struct token *t)
{
    struct error err;

    if (token_find(d, r->params[0], t, &err))
        return true;
    problem_reply_error(r, &err);
    return false;
}

void api_token_get(struct daemon *d, struct request *r)
{
    struct token t;

    if (take_token(d, r, &t))
        reply_token(r, 200, &t, NULL);
}

/* -- Ending and renewing ----------------------------------------------------------------------- */

void api_token_revoke(struct daemon *d, struct request *r)
{
    struct token t;
    struct error err;

    if (!take_token(d, r, &t) || !reply_may_change(r, token_json(&t, clock_wall_ms()), moves))
        return;
    if (token_revoke(d, &t, &err))
        http_reply(r, 204, NULL, "", 0);
    else
        problem_reply_error(r, &err);
}

static bool is_overlap(const struct json *value, struct error *err)
{
    int64_t s = js_int(value, -1);

    return (s >= 0 && s <= TOKEN_OVERLAP_MAX_S) ||
           err_set(err, ERR_INVALID, "expected 0 to %d seconds (a week), got %" PRId64,
                   TOKEN_OVERLAP_MAX_S, s);
}

/* Of the body, which may be left out. False when the answer was given. */
static bool take_overlap(struct request *r, int64_t *out)
{
    static const struct member members[] = {{"overlap_s", JS_INT, false, is_overlap}};
    struct json *body;

    *out = 0;
    if (!r->body.len)
        return true;
    body = body_read(r, "a rotation", members, ARRAY_LEN(members));
    if (!body)
        return false;
    *out = js_int(js_get(body, "overlap_s"), 0);
    js_free(body);
    return true;
}

void api_token_rotate(struct daemon *d, struct request *r)
{
    char secret[SECRET_SIZE];
    int64_t overlap_s;
    struct token t;
    struct error err;

    if (!take_token(d, r, &t) || !reply_may_change(r, token_json(&t, clock_wall_ms()), moves) ||
        !take_overlap(r, &overlap_s))
        return;
    if (token_rotate(d, &t, overlap_s, secret, &err))
        reply_token(r, 200, &t, secret);
    else
        problem_reply_error(r, &err);
}
