#include "daemon/idempotency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/intake.h"
#include "daemon/problem.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

static bool add_char(struct buf *b, char c)
{
    return c >= ' ' && c <= '~' && buf_add(b, &c, 1);
}

/* "a\"b": a backslash stands before a quote or another one. */
static bool unquote(const char *text, size_t len, struct buf *out)
{
    for (size_t i = 1; i + 1 < len; i++) {
        if (text[i] == '"')
            return false;
        if (text[i] == '\\' && (++i + 1 >= len || !strchr("\"\\", text[i])))
            return false;
        if (!add_char(out, text[i]))
            return false;
    }
    return len >= 2 && text[len - 1] == '"';
}

static bool take_bare(const char *text, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] == '"' || !add_char(out, text[i]))
            return false;
    return true;
}

bool idempotency_parse(const char *text, size_t len, char key[IDEMPOTENCY_KEY_MAX + 1],
                       struct error *err)
{
    struct buf b = buf_new(IDEMPOTENCY_KEY_MAX);
    bool ok;

    while (len && strchr(" \t", text[0])) {
        text++;
        len--;
    }
    while (len && strchr(" \t", text[len - 1]))
        len--;
    ok = (len && text[0] == '"' ? unquote(text, len, &b) : take_bare(text, len, &b)) && b.len;
    memcpy(key, buf_text(&b), b.len + 1);
    buf_free(&b);
    return ok || err_set(err, ERR_INVALID,
                         "Idempotency-Key: expected a string in quotes of 1 to %d printable ASCII "
                         "characters, got %.100s",
                         IDEMPOTENCY_KEY_MAX, text);
}

/* A token sees the answers to its own requests alone, whatever keys others use. A key has no line end. */
static char *owned_key(const struct idempotency *i)
{
    return i->owner[0] ? str_fmt("%s\n%s", i->owner, i->key) : str_dup(i->key);
}

static void take_owner(const struct caller *who, struct idempotency *i)
{
    if (!who->local && strcmp(who->id, TOKEN_ROOT) != 0)
        memcpy(i->owner, who->id, sizeof(i->owner));
}

static bool find_reply(struct daemon *d, const struct idempotency *i, struct stored_reply *out,
                       struct error *err)
{
    char *key = owned_key(i);
    bool ok = store_reply_find(d->store, key, out, err);

    free(key);
    return ok;
}

static void replay(struct request *r, const struct stored_reply *s)
{
    char *location = str_fmt("/api/v1/jobs/%s", s->job);

    if (!str_ends(r->path, ":batch")) /* whose answer is about many */
        http_add_header(r, "Location", location);
    http_add_header(r, "Idempotency-Replayed", "true");
    reply_bytes(r, s->status, "application/json; charset=utf-8", s->text, strlen(s->text));
    free(location);
}

static void answer_again(struct request *r, const struct idempotency *i,
                         const struct stored_reply *s)
{
    if (strcmp(s->body_sha256, i->body_sha256) == 0)
        replay(r, s);
    else
        problem_reply(r, "idempotency_key_reused", NULL,
                      "the key \"%.255s\" was used for another body, which became job %s", i->key,
                      s->job);
}

/* What is asked for: the body and, where the address names a job, of which. */
static void fingerprint(const struct request *r, char hex[SHA256_HEX])
{
    struct sha256 *s = sha256_new();

    if (r->params[0])
        sha256_add(s, r->path, strlen(r->path) + 1);
    sha256_add(s, r->body.data, r->body.len);
    sha256_end(s, hex);
}

bool idempotency_begin(struct daemon *d, struct request *r, struct idempotency *i)
{
    const char *header = http_header(r, "Idempotency-Key");
    struct stored_reply s = {.text = NULL};
    struct error err;

    *i = (struct idempotency){.key = ""};
    if (!header)
        return true;
    if (!idempotency_parse(header, strlen(header), i->key, &err)) {
        problem_reply(r, "bad_request", NULL, "%s", err.msg);
        return false;
    }
    take_owner(&r->caller, i);
    if (intake_has_key(d, i)) {
        problem_reply(r, "idempotency_key_in_use", NULL,
                      "an earlier request with the key \"%.255s\" is still being carried out",
                      i->key);
        return false;
    }
    fingerprint(r, i->body_sha256);
    if (!find_reply(d, i, &s, &err)) {
        problem_reply_error(r, &err);
        return false;
    }
    if (!s.text)
        return true;
    answer_again(r, i, &s);
    free(s.text);
    return false;
}

bool idempotency_keep(struct daemon *d, const struct idempotency *i, const char *job,
                      const char *text, struct error *err)
{
    char *copy = str_dup(text), *key = owned_key(i);
    struct stored_reply s = {.status = IDEMPOTENCY_STATUS, .text = copy};
    bool ok;

    snprintf(s.job, sizeof(s.job), "%s", job);
    memcpy(s.body_sha256, i->body_sha256, sizeof(s.body_sha256));
    ok = store_reply_add(d->store, key, &s, clock_wall_ms(), err);
    free(key);
    free(copy);
    return ok;
}

void idempotency_expire(struct daemon *d)
{
    int64_t before = clock_wall_ms() - IDEMPOTENCY_DAYS * INT64_C(24) * 3600 * 1000;
    struct error err;

    if (!store_replies_forget(d->store, before, &err))
        log_warn("old answers cannot be forgotten error=\"%s\"", err.msg);
}
