#include "daemon/tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/audit.h"
#include "daemon/db.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

#define PREFIX "dst_"
#define COLUMNS \
    "seq, id, name, scope, created_ms, expires_ms, used_ms, revoked_ms, old_until_ms, project"

enum {
    ID_BYTES = (TOKEN_ID_SIZE - 1) / 2,
    TICK_MS = 2000,
    TICKS_A_WRITE = 30 /* what tokens were used is written once a minute, not with each request */
};

struct use {
    char id[CALLER_ID_SIZE];
    int64_t at_ms;
};

struct tokens {
    struct daemon *daemon;
    uv_timer_t timer;
    unsigned ticks;
    VEC(struct use) uses;    /* that are not written yet */
    int64_t first_expiry_ms; /* of those that token_holds was asked about */
    uint64_t changes;        /* of what a token allows */
};

static const char *const scopes[SCOPE_COUNT] = {"none", "read", "submit", "operate", "admin"};

const char *scope_name(enum scope s)
{
    return scopes[s];
}

bool scope_parse(const char *name, enum scope *out)
{
    for (enum scope s = SCOPE_READ; s < SCOPE_COUNT; s++)
        if (strcmp(scopes[s], name) == 0) {
            *out = s;
            return true;
        }
    return false;
}

/* -- Use --------------------------------------------------------------------------------------- */

static int64_t *use_of(struct tokens *t, const char *id)
{
    for (size_t i = 0; t && i < t->uses.n; i++)
        if (strcmp(t->uses.at[i].id, id) == 0)
            return &t->uses.at[i].at_ms;
    return NULL;
}

static void note_use(struct tokens *t, const char *id, int64_t now_ms)
{
    int64_t *at = use_of(t, id);
    struct use use = {.at_ms = now_ms};

    if (at) {
        *at = now_ms;
    } else if (t) {
        snprintf(use.id, sizeof(use.id), "%s", id);
        vec_push(&t->uses, use);
    }
}

static bool write_use(struct daemon *d, const struct use *use, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(d->store), "UPDATE token SET used_ms=?2 WHERE id=?1", err);

    if (!q)
        return false;
    db_bind_text(q, 1, use->id);
    db_bind_int(q, 2, use->at_ms);
    return db_run(q, err);
}

static void write_uses(struct tokens *t)
{
    struct store *s = t->daemon->store;
    struct error err;
    bool ok = store_begin(s, &err);

    for (size_t i = 0; ok && i < t->uses.n; i++)
        ok = write_use(t->daemon, &t->uses.at[i], &err);
    ok = ok && store_commit(s, &err);
    if (!ok) {
        store_rollback(s);
        log_warn("the last use of tokens cannot be written error=\"%s\"", err.msg);
    }
    t->uses.n = 0;
}

static void on_tick(uv_timer_t *timer)
{
    struct tokens *t = timer->data;

    if (t->first_expiry_ms <= clock_wall_ms()) {
        t->first_expiry_ms = INT64_MAX; /* those that go on say theirs again */
        daemon_wake_streams(t->daemon);
    }
    if (++t->ticks % TICKS_A_WRITE == 0 && t->uses.n)
        write_uses(t);
}

struct tokens *tokens_open(struct daemon *d)
{
    struct tokens *t = NEW(struct tokens);

    *t = (struct tokens){.daemon = d, .first_expiry_ms = INT64_MAX};
    uv_timer_init(&d->loop, &t->timer);
    t->timer.data = t;
    uv_timer_start(&t->timer, on_tick, TICK_MS, TICK_MS);
    return t;
}

static void on_closed(uv_handle_t *h)
{
    struct tokens *t = h->data;

    vec_free(&t->uses);
    free(t);
}

void tokens_close(struct daemon *d)
{
    struct tokens *t = d->tokens;

    d->tokens = NULL;
    if (!t)
        return;
    if (t->uses.n)
        write_uses(t);
    uv_close((uv_handle_t *)&t->timer, on_closed);
}

/* -- What a token allows ----------------------------------------------------------------------- */

/* By the hash of its secret, in who->secret. The reason for a refusal is for those alone who have the secret. */
static bool judge(struct db_stmt *q, struct caller *who, int64_t now_ms, struct error *err)
{
    bool current = secret_equal(who->secret, db_text(q, 1));
    bool before = secret_equal(who->secret, db_text(q, 2));
    int64_t expires = db_int(q, 3), overlap = db_int(q, 4), revoked = db_int(q, 5);

    if (!current && !before)
        return err_set(err, ERR_UNAUTHORIZED, "a valid access token is needed");
    if (revoked)
        return err_set(err, ERR_UNAUTHORIZED, "the token %s has been revoked", who->id);
    if (expires <= now_ms)
        return err_set(err, ERR_UNAUTHORIZED, "the token %s has expired", who->id);
    if (!current && overlap <= now_ms)
        return err_set(err, ERR_UNAUTHORIZED, "the token %s has another secret since", who->id);
    who->expires_ms = current || expires < overlap ? expires : overlap;
    snprintf(who->project, sizeof(who->project), "%s", db_text(q, 6));
    return scope_parse(db_text(q, 0), &who->scope) ||
           err_set(err, ERR_UNAUTHORIZED, "the token %s has a scope that is not known here",
                   who->id);
}

static bool judge_root(const struct daemon *d, struct caller *who, struct error *err)
{
    char hex[SHA256_HEX];

    sha256_of(d->token, strlen(d->token), hex);
    if (!secret_equal(who->secret, hex))
        return err_set(err, ERR_UNAUTHORIZED, "a valid access token is needed");
    who->scope = SCOPE_ADMIN;
    who->expires_ms = INT64_MAX;
    return true;
}

static bool look_up(struct daemon *d, struct caller *who, int64_t now_ms, struct error *err)
{
    static const char sql[] = "SELECT scope, sha256, old_sha256, expires_ms, old_until_ms,"
                              " revoked_ms, project FROM token WHERE id=?";
    struct db_stmt *q;
    enum db_result got;
    bool ok;

    if (strcmp(who->id, TOKEN_ROOT) == 0)
        return judge_root(d, who, err);
    q = db_prepare(store_state(d->store), sql, err);
    if (!q)
        return false;
    db_bind_text(q, 1, who->id);
    got = db_step(q, err);
    ok = got == DB_ROW && judge(q, who, now_ms, err);
    if (got == DB_DONE)
        err_set(err, ERR_UNAUTHORIZED, "a valid access token is needed");
    db_reset(q);
    return ok;
}

/* ID in "dst_ID_SECRET". That of STATE/token has none. */
static void read_id(const char *text, char id[CALLER_ID_SIZE])
{
    const char *start = text + strlen(PREFIX);
    size_t n = str_starts(text, PREFIX) ? strcspn(start, "_") : 0;

    if (n == TOKEN_ID_SIZE - 1 && start[n] == '_')
        snprintf(id, CALLER_ID_SIZE, "%.*s", (int)n, start);
    else
        snprintf(id, CALLER_ID_SIZE, "%s", TOKEN_ROOT);
}

bool token_check(struct daemon *d, const char *text, struct caller *who, struct error *err)
{
    int64_t now = clock_wall_ms();

    *who = (struct caller){.scope = SCOPE_NONE};
    read_id(text, who->id);
    sha256_of(text, strlen(text), who->secret);
    if (!look_up(d, who, now, err)) {
        *who = (struct caller){.scope = SCOPE_NONE};
        return false;
    }
    if (strcmp(who->id, TOKEN_ROOT) != 0)
        note_use(d->tokens, who->id, now);
    return true;
}

/* Rows may be used again: what it was given for is asked, too. */
static bool session_is_open(struct daemon *d, const struct caller *who)
{
    struct db_stmt *q =
        db_prepare(store_state(d->store), "SELECT 1 FROM session WHERE rowid=? AND secret=?", NULL);
    bool is;

    if (!q)
        return false;
    db_bind_int(q, 1, who->session);
    db_bind_text(q, 2, who->secret);
    is = db_step(q, NULL) == DB_ROW;
    db_reset(q);
    return is;
}

/* Asked of each stream with each event: the state is read only after a change. */
bool token_holds(struct daemon *d, struct caller *who)
{
    struct tokens *t = d->tokens;
    int64_t now = clock_wall_ms(), expires = who->expires_ms;

    if (!t || who->local)
        return true;
    if (who->seen != t->changes) {
        if (!look_up(d, who, now, NULL) || (who->session && !session_is_open(d, who)))
            return false;
        who->seen = t->changes;
        who->expires_ms = expires < who->expires_ms ? expires : who->expires_ms;
    }
    if (who->expires_ms < t->first_expiry_ms)
        t->first_expiry_ms = who->expires_ms;
    return who->expires_ms > now;
}

/* Whoever goes on for long is asked again. */
static void note_change(struct daemon *d)
{
    if (d->tokens)
        d->tokens->changes++;
    daemon_wake_streams(d);
}

/* -- Sessions ---------------------------------------------------------------------------------- */

static bool forget_sessions(struct daemon *d, int64_t now_ms, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(d->store), "DELETE FROM session WHERE expires_ms <= ?", err);

    if (!q)
        return false;
    db_bind_int(q, 1, now_ms);
    return db_run(q, err);
}

static bool insert_session(struct daemon *d, const char *sha256, const struct caller *who,
                           int64_t expires_ms, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(d->store),
                   "INSERT INTO session(sha256, expires_ms, token, secret) VALUES(?,?,?,?)", err);

    if (!q)
        return false;
    db_bind_text(q, 1, sha256);
    db_bind_int(q, 2, expires_ms);
    db_bind_text(q, 3, who->id);
    db_bind_text(q, 4, who->secret);
    return db_run(q, err);
}

bool session_add(struct daemon *d, const char *sha256, const struct caller *who, int64_t expires_ms,
                 struct error *err)
{
    bool ok = store_begin(d->store, err) && forget_sessions(d, clock_wall_ms(), err) &&
              insert_session(d, sha256, who, expires_ms, err) && store_commit(d->store, err);

    if (!ok)
        store_rollback(d->store);
    return ok;
}

bool session_check(struct daemon *d, const char *sha256, struct caller *who)
{
    struct db_stmt *q =
        db_prepare(store_state(d->store),
                   "SELECT token, secret, expires_ms, rowid FROM session WHERE sha256=?", NULL);
    int64_t now = clock_wall_ms(), expires = 0;
    bool ok;

    *who = (struct caller){.scope = SCOPE_NONE};
    if (!q)
        return false;
    db_bind_text(q, 1, sha256);
    if (db_step(q, NULL) == DB_ROW) {
        snprintf(who->id, sizeof(who->id), "%s", db_text(q, 0));
        snprintf(who->secret, sizeof(who->secret), "%s", db_text(q, 1));
        expires = db_int(q, 2);
        who->session = db_int(q, 3);
    }
    db_reset(q);
    ok = expires > now && look_up(d, who, now, NULL);
    if (!ok)
        *who = (struct caller){.scope = SCOPE_NONE};
    else if (expires < who->expires_ms)
        who->expires_ms = expires;
    return ok;
}

bool session_end(struct daemon *d, const struct caller *who, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(d->store), "DELETE FROM session WHERE rowid=?", err);

    if (!q)
        return false;
    db_bind_int(q, 1, who->session);
    if (!db_run(q, err))
        return false;
    note_change(d);
    return true;
}

/* -- The table --------------------------------------------------------------------------------- */

static void make_secret(const struct token *t, char secret[SECRET_SIZE], char hex[SHA256_HEX])
{
    char prefix[SECRET_PREFIX_MAX + 1];

    snprintf(prefix, sizeof(prefix), PREFIX "%s_", t->id);
    secret_new(prefix, secret);
    sha256_of(secret, strlen(secret), hex);
}

static void make_id(char id[TOKEN_ID_SIZE])
{
    unsigned char bytes[ID_BYTES];

    secret_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(id + 2 * i, TOKEN_ID_SIZE - 2 * i, "%02x", bytes[i]);
}

bool token_add(struct daemon *d, struct token *t, char secret[SECRET_SIZE], struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(d->store),
                                   "INSERT INTO token(id, name, scope, sha256, created_ms,"
                                   " expires_ms, project) VALUES(?,?,?,?,?,?,?)",
                                   err);
    char hex[SHA256_HEX];

    if (!q)
        return false;
    make_id(t->id);
    audit_subject(d, t->id);
    make_secret(t, secret, hex);
    t->created_ms = clock_wall_ms();
    db_bind_text(q, 1, t->id);
    db_bind_text(q, 2, t->name);
    db_bind_text(q, 3, scope_name(t->scope));
    db_bind_text(q, 4, hex);
    db_bind_int(q, 5, t->created_ms);
    db_bind_int(q, 6, t->expires_ms);
    db_bind_text(q, 7, t->project);
    if (!db_run(q, err))
        return false;
    t->seq = db_last_rowid(store_state(d->store));
    return true;
}

static void read_token(struct tokens *all, struct db_stmt *q, struct token *t)
{
    const int64_t *used;

    *t = (struct token){.seq = db_int(q, 0),
                        .created_ms = db_int(q, 4),
                        .expires_ms = db_int(q, 5),
                        .used_ms = db_int(q, 6),
                        .revoked_ms = db_int(q, 7),
                        .overlap_ms = db_int(q, 8)};
    snprintf(t->id, sizeof(t->id), "%s", db_text(q, 1));
    snprintf(t->name, sizeof(t->name), "%s", db_text(q, 2));
    scope_parse(db_text(q, 3), &t->scope);
    snprintf(t->project, sizeof(t->project), "%s", db_text(q, 9));
    used = use_of(all, t->id);
    if (used)
        t->used_ms = *used;
}

bool token_find(struct daemon *d, const char *id, struct token *out, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(d->store), "SELECT " COLUMNS " FROM token WHERE id=?", err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, id);
    got = db_step(q, err);
    if (got == DB_ROW)
        read_token(d->tokens, q, out);
    else if (got == DB_DONE)
        err_set(err, ERR_NOT_FOUND, "there is no token %.40s", id);
    db_reset(q);
    return got == DB_ROW;
}

bool tokens_page(struct daemon *d, int64_t before, int64_t limit,
                 void (*fn)(const struct token *t, void *arg), void *arg, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(d->store),
                   "SELECT " COLUMNS " FROM token WHERE seq < ? ORDER BY seq DESC LIMIT ?", err);
    enum db_result got;
    struct token t;

    if (!q)
        return false;
    db_bind_int(q, 1, before ? before : INT64_MAX);
    db_bind_int(q, 2, limit);
    while ((got = db_step(q, err)) == DB_ROW) {
        read_token(d->tokens, q, &t);
        fn(&t, arg);
    }
    db_reset(q);
    return got == DB_DONE;
}

bool token_revoke(struct daemon *d, struct token *t, struct error *err)
{
    struct db_stmt *q;

    if (t->revoked_ms)
        return true;
    q = db_prepare(store_state(d->store), "UPDATE token SET revoked_ms=?2 WHERE id=?1", err);
    if (!q)
        return false;
    t->revoked_ms = clock_wall_ms();
    db_bind_text(q, 1, t->id);
    db_bind_int(q, 2, t->revoked_ms);
    if (!db_run(q, err))
        return false;
    note_change(d);
    return true;
}

bool token_rotate(struct daemon *d, struct token *t, int64_t overlap_s, char secret[SECRET_SIZE],
                  struct error *err)
{
    struct db_stmt *q;
    int64_t now = clock_wall_ms();
    char hex[SHA256_HEX];

    if (t->revoked_ms || t->expires_ms <= now)
        return err_set(err, ERR_CONFLICT, "the token %s has %s; make a new one", t->id,
                       t->revoked_ms ? "been revoked" : "expired");
    q = db_prepare(store_state(d->store),
                   "UPDATE token SET old_sha256=sha256, sha256=?2, old_until_ms=?3 WHERE id=?1",
                   err);
    if (!q)
        return false;
    make_secret(t, secret, hex);
    t->overlap_ms = now + overlap_s * 1000;
    db_bind_text(q, 1, t->id);
    db_bind_text(q, 2, hex);
    db_bind_int(q, 3, t->overlap_ms);
    if (!db_run(q, err))
        return false;
    note_change(d);
    return true;
}

static struct json *time_or_null(int64_t ms)
{
    char when[CLOCK_TEXT];

    return ms ? js_new_string(clock_text(ms, when)) : js_new_null();
}

struct json *token_json(const struct token *t, int64_t now_ms)
{
    struct json *j = js_new_object();

    js_set(j, "id", js_new_string(t->id));
    js_set(j, "name", js_new_string(t->name));
    js_set(j, "scope", js_new_string(scope_name(t->scope)));
    js_set(j, "project", t->project[0] ? js_new_string(t->project) : js_new_null());
    js_set(j, "state",
           js_new_string(t->revoked_ms             ? "revoked"
                         : t->expires_ms <= now_ms ? "expired"
                                                   : "active"));
    js_set(j, "created_at", time_or_null(t->created_ms));
    js_set(j, "expires_at", time_or_null(t->expires_ms));
    js_set(j, "last_used_at", time_or_null(t->used_ms));
    js_set(j, "revoked_at", time_or_null(t->revoked_ms));
    js_set(j, "old_secret_until", time_or_null(t->overlap_ms > now_ms ? t->overlap_ms : 0));
    return j;
}
