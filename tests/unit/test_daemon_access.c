/* daemon: who may ask: tokens, scopes, sessions, and the ends of all of them. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/audit.h"
#include "daemon/db.h"
#include "daemon/intake.h"
#include "daemon/lifecycle.h"
#include "daemon/limiter.h"
#include "daemon/limits.h"
#include "daemon/models.h"
#include "daemon/roots.h"
#include "daemon/routes.h"
#include "daemon/sse.h"
#include "daemon/tokens.h"
#include "daemon/webhooks.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "proto/wire/audit.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/unit.h"

static struct token add_token(struct daemon *d, enum scope scope, int64_t ms, char *secret)
{
    struct token t = {.name = "test", .scope = scope, .expires_ms = clock_wall_ms() + ms};
    struct error err;

    ck_assert_ok(token_add(d, &t, secret, &err), err);
    return t;
}

static bool opens(struct daemon *d, const char *secret, struct caller *who)
{
    struct error err;
    bool ok = token_check(d, secret, who, &err);

    ck_assert(ok || err.code == ERR_UNAUTHORIZED);
    ck_assert(ok == (who->scope != SCOPE_NONE) && ok == (who->id[0] != '\0'));
    return ok;
}

/* -- Tokens ------------------------------------------------------------------------------------ */

START_TEST(a_token_opens_with_its_whole_secret)
{
    char secret[SECRET_SIZE], bad[SECRET_SIZE];
    struct caller who;
    struct daemon d;
    struct token t;

    rig_open(&d, "whole", 16);
    t = add_token(&d, SCOPE_SUBMIT, 60000, secret);
    ck_assert_uint_eq(strlen(secret), strlen("dst__") + 10 + 64);
    ck_assert(opens(&d, secret, &who));
    ck_assert_str_eq(who.id, t.id);
    ck_assert_int_eq(who.scope, SCOPE_SUBMIT);
    ck_assert_int_eq(who.expires_ms, t.expires_ms);
    for (size_t i = 0; secret[i]; i++) {
        memcpy(bad, secret, sizeof(bad));
        bad[i] = bad[i] == '0' ? '1' : '0';
        ck_assert_msg(!opens(&d, bad, &who), "byte %zu changed: %s", i, bad);
        memcpy(bad, secret, sizeof(bad));
        bad[i] = '\0';
        ck_assert_msg(!opens(&d, bad, &who), "cut at %zu: %s", i, bad);
    }
    ck_assert(opens(&d, d.token, &who));
    ck_assert_str_eq(who.id, TOKEN_ROOT);
    ck_assert_int_eq(who.scope, SCOPE_ADMIN);
    rig_close(&d);
}
END_TEST

START_TEST(a_token_ends_and_says_why)
{
    char secret[SECRET_SIZE];
    struct caller who;
    struct error err;
    struct daemon d;
    struct token t;

    rig_open(&d, "ends", 16);
    add_token(&d, SCOPE_READ, -1, secret);
    ck_assert(!token_check(&d, secret, &who, &err));
    ck_assert_msg(strstr(err.msg, "expired"), "%s", err.msg);

    t = add_token(&d, SCOPE_READ, 60000, secret);
    ck_assert_ok(token_check(&d, secret, &who, &err), err);
    ck_assert(token_holds(&d, &who));
    ck_assert_ok(token_revoke(&d, &t, &err), err);
    ck_assert(!token_holds(&d, &who));
    ck_assert(!token_check(&d, secret, &who, &err));
    ck_assert_msg(strstr(err.msg, "revoked"), "%s", err.msg);
    /* Whoever has not the secret learns nothing. */
    secret[strlen(secret) - 1] ^= 1;
    ck_assert(!token_check(&d, secret, &who, &err));
    ck_assert_msg(!strstr(err.msg, "revoked"), "%s", err.msg);
    ck_assert_ok(token_find(&d, t.id, &t, &err), err);
    ck_assert(t.revoked_ms > 0);
    ck_assert(!token_rotate(&d, &t, 0, secret, &err) && err.code == ERR_CONFLICT);
    rig_close(&d);
}
END_TEST

START_TEST(a_rotated_secret_works_as_long_as_was_said)
{
    char first[SECRET_SIZE], second[SECRET_SIZE], third[SECRET_SIZE];
    struct caller old, who;
    struct error err;
    struct daemon d;
    struct token t;
    int64_t end;

    rig_open(&d, "rotated", 16);
    t = add_token(&d, SCOPE_READ, 600000, first);
    ck_assert(opens(&d, first, &old));
    ck_assert_ok(token_rotate(&d, &t, 60, second, &err), err);
    end = t.overlap_ms;
    ck_assert(opens(&d, first, &who) && who.expires_ms == end);
    ck_assert(token_holds(&d, &old) && old.expires_ms == end);
    ck_assert(opens(&d, second, &who) && who.expires_ms == t.expires_ms);
    /* The next rotation ends the first; without overlap it ends the second too. */
    ck_assert_ok(token_rotate(&d, &t, 0, third, &err), err);
    ck_assert(!opens(&d, first, &who) && !opens(&d, second, &who) && opens(&d, third, &who));
    ck_assert(!token_holds(&d, &old));
    rig_close(&d);
}
END_TEST

START_TEST(a_session_ends_with_its_time_and_its_secret)
{
    char secret[SECRET_SIZE], next[SECRET_SIZE];
    int64_t now = clock_wall_ms();
    struct caller who, got;
    struct error err;
    struct daemon d;
    struct token t;

    rig_open(&d, "session", 16);
    t = add_token(&d, SCOPE_SUBMIT, 60000, secret);
    ck_assert(opens(&d, secret, &who));
    ck_assert_ok(session_add(&d, "over", &who, now - 1, &err), err);
    ck_assert_ok(session_add(&d, "short", &who, now + 30000, &err), err);
    ck_assert_ok(session_add(&d, "long", &who, now + 90000, &err), err);
    ck_assert(!session_check(&d, "over", &got) && !session_check(&d, "other", &got) &&
              !session_check(&d, "", &got));
    ck_assert(session_check(&d, "short", &got) && got.session && got.scope == SCOPE_SUBMIT);
    ck_assert_int_eq(got.expires_ms, now + 30000);
    ck_assert(session_check(&d, "long", &got) && got.expires_ms == t.expires_ms);
    ck_assert_str_eq(got.id, t.id);
    ck_assert_ok(token_rotate(&d, &t, 0, next, &err), err);
    ck_assert(!token_holds(&d, &got) && !session_check(&d, "long", &got));

    ck_assert(opens(&d, d.token, &who));
    ck_assert_ok(session_add(&d, "root", &who, now + 90000, &err), err);
    ck_assert(session_check(&d, "root", &got));
    snprintf(d.token, sizeof(d.token), "dst_another");
    ck_assert(!session_check(&d, "root", &got));
    rig_close(&d);
}
END_TEST

static int64_t stored_use(struct daemon *d, const char *id)
{
    struct db_stmt *q =
        db_prepare(store_state(d->store), "SELECT used_ms FROM token WHERE id=?", NULL);
    int64_t at;

    db_bind_text(q, 1, id);
    ck_assert_int_eq(db_step(q, NULL), DB_ROW);
    at = db_int(q, 0);
    db_reset(q);
    return at;
}

START_TEST(the_last_use_is_known_at_once_and_written_later)
{
    char secret[SECRET_SIZE], id[TOKEN_ID_SIZE];
    struct caller who;
    struct error err;
    struct daemon d;
    struct token t;

    rig_open(&d, "use", 16);
    t = add_token(&d, SCOPE_READ, 60000, secret);
    memcpy(id, t.id, sizeof(id));
    ck_assert(opens(&d, secret, &who) && opens(&d, secret, &who));
    ck_assert_ok(token_find(&d, id, &t, &err), err);
    ck_assert(t.used_ms > 0);
    ck_assert_msg(stored_use(&d, id) == 0, "a request has written to the disk");
    rig_close(&d);
    rig_open(&d, "use", 16);
    ck_assert_int_eq(stored_use(&d, id), t.used_ms);
    rig_close(&d);
}
END_TEST

/* -- Over HTTP --------------------------------------------------------------------------------- */

#define ROOT "Authorization: Bearer dst_secret\r\n"

static void hang_up(struct daemon *d)
{
    events_on_publish(d->events, NULL, NULL);
    http_stop(d->http);
    d->http = NULL;
}

/* headers: each with its line end. */
static int ask(struct daemon *d, const struct sockaddr_in *a, const char *method, const char *path,
               const char *headers)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char *text = str_fmt("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n%s\r\n", method,
                         path, headers);

    ck_assert_int_eq(connect(fd, (const struct sockaddr *)a, sizeof(*a)), 0);
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    free(text);
    rig_turn(d);
    return fd;
}

static int status_of(struct daemon *d, const struct sockaddr_in *a, const char *method,
                     const char *path, const char *headers, struct buf *answer)
{
    int fd = ask(d, a, method, path, headers), status = 0;

    for (int i = 0; i < 100 && !strstr(buf_text(answer), "\r\n\r\n"); i++) {
        rig_receive(fd, answer);
        rig_turn(d);
    }
    close(fd);
    rig_turn(d);
    sscanf(buf_text(answer), "HTTP/1.1 %d", &status);
    return status;
}

/* A path that the pattern fits. */
static char *example(const char *pattern)
{
    struct buf b = buf_new(0);

    for (; *pattern; pattern++)
        if (*pattern == '{') {
            buf_str(&b, "x");
            pattern = strchr(pattern, '}');
        } else {
            buf_add(&b, pattern, 1);
        }
    return buf_take(&b);
}

static void try_scope(enum scope scope)
{
    static const enum scope needed[] = {
        [ACCESS_PUBLIC] = SCOPE_NONE,   [ACCESS_READ] = SCOPE_READ,
        [ACCESS_SUBMIT] = SCOPE_SUBMIT, [ACCESS_OPERATE] = SCOPE_OPERATE,
        [ACCESS_ADMIN] = SCOPE_ADMIN,   [ACCESS_TOKEN] = SCOPE_READ};
    char secret[SECRET_SIZE], *headers;
    struct sockaddr_in a;
    struct daemon d;
    size_t refused = 0;

    rig_open(&d, "scopes", 16);
    a = rig_serve(&d);
    if (scope == SCOPE_NONE)
        snprintf(secret, sizeof(secret), "dst_0123456789_none");
    else
        add_token(&d, scope, 60000, secret);
    headers = str_fmt("Authorization: Bearer %s\r\n", secret);
    for (size_t i = 0; i < n_routes; i++) {
        struct buf answer = buf_new(0);
        char *path = example(routes[i].pattern);
        int status;

        if (needed[routes[i].access] > scope) {
            status = status_of(&d, &a, routes[i].method, path, headers, &answer);
            ck_assert_msg(status == (scope ? 403 : 401), "scope %s: %s %s: %d", scope_name(scope),
                          routes[i].method, path, status);
            ck_assert_msg(!scope || strstr(buf_text(&answer), scope_name(needed[routes[i].access])),
                          "the scope is not named: %s", buf_text(&answer));
            refused++;
        }
        free(path);
        buf_free(&answer);
    }
    ck_assert_msg(scope == SCOPE_ADMIN ? !refused : refused, "scope %s: %zu refusals",
                  scope_name(scope), refused);
    if (scope) {
        struct buf answer = buf_new(0);

        ck_assert_int_eq(status_of(&d, &a, "GET", "/api/v1/queue", headers, &answer), 200);
        buf_free(&answer);
    }
    if (scope >= SCOPE_OPERATE) {
        struct buf answer = buf_new(0);

        ck_assert_int_eq(status_of(&d, &a, "POST", "/api/v1/queue:pause", headers, &answer), 200);
        buf_free(&answer);
    }
    free(headers);
    hang_up(&d);
    rig_close(&d);
}

START_TEST(no_scope_reaches_further_than_it_says)
{
    for (enum scope s = SCOPE_NONE; s < SCOPE_COUNT; s++)
        try_scope(s);
}
END_TEST

START_TEST(a_session_is_never_admin_and_changes_nothing_alone)
{
    static const struct {
        const char *method, *path, *header;
        int status;
    } cases[] = {
        {"GET", "/api/v1/queue", "", 200},
        {"POST", "/api/v1/queue:pause", "", 403},
        {"POST", "/api/v1/queue:pause", "X-Distilld-Request: 1\r\n", 200},
        {"GET", "/api/v1/tokens", "", 403},
        {"POST", "/api/v1/tokens", "X-Distilld-Request: 1\r\n", 403},
        /* A token that is shown counts, good or bad. */
        {"GET", "/api/v1/queue", "Authorization: Bearer dst_x\r\n", 401},
        {"POST", "/api/v1/queue:resume", "Authorization: Bearer dst_secret\r\n", 200},
    };
    char hex[SHA256_HEX];
    struct caller root;
    struct sockaddr_in a;
    struct error err;
    struct daemon d;

    rig_open(&d, "cookie", 16);
    a = rig_serve(&d);
    ck_assert(opens(&d, d.token, &root));
    sha256_of("cookie", 6, hex);
    ck_assert_ok(session_add(&d, hex, &root, clock_wall_ms() + 60000, &err), err);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *headers = str_fmt("Cookie: distilld_session=cookie\r\n%s", cases[i].header);
        struct buf answer = buf_new(0);
        int status = status_of(&d, &a, cases[i].method, cases[i].path, headers, &answer);

        ck_assert_msg(status == cases[i].status, "case %zu: %d: %s", i, status, buf_text(&answer));
        buf_free(&answer);
        free(headers);
    }
    hang_up(&d);
    rig_close(&d);
}
END_TEST

/* Whether the stream is closed within so many seconds. */
static bool ends_within(struct daemon *d, int fd, double seconds)
{
    double end = clock_mono_s() + seconds;
    struct buf got = buf_new(0);
    bool closed;

    do {
        rig_turn(d);
        closed = rig_receive(fd, &got) || str_ends(buf_text(&got), "0\r\n\r\n");
    } while (!closed && clock_mono_s() < end);
    buf_free(&got);
    return closed;
}

START_TEST(streams_end_with_their_token)
{
    char secret[SECRET_SIZE], other[SECRET_SIZE], passing[SECRET_SIZE], *headers;
    struct sockaddr_in a;
    struct error err;
    struct daemon d;
    struct token t;
    int revoked, stays, expires;

    rig_open(&d, "streams", 16);
    a = rig_serve(&d);
    t = add_token(&d, SCOPE_READ, 60000, secret);
    add_token(&d, SCOPE_READ, 60000, other);
    add_token(&d, SCOPE_READ, 1000, passing);
    headers = str_fmt("Authorization: Bearer %s\r\n", secret);
    revoked = ask(&d, &a, "GET", "/api/v1/events", headers);
    free(headers);
    headers = str_fmt("Authorization: Bearer %s\r\n", other);
    stays = ask(&d, &a, "GET", "/api/v1/events", headers);
    free(headers);
    headers = str_fmt("Authorization: Bearer %s\r\n", passing);
    expires = ask(&d, &a, "GET", "/api/v1/events", headers);
    free(headers);
    ck_assert_uint_eq(http_streams(d.http), 3);
    ck_assert(!ends_within(&d, revoked, 0.1));
    ck_assert_ok(token_revoke(&d, &t, &err), err);
    ck_assert_msg(ends_within(&d, revoked, 5), "the stream of a revoked token goes on");
    ck_assert_msg(ends_within(&d, expires, 5), "the stream of a token that is over goes on");
    ck_assert_msg(!ends_within(&d, stays, 0.1), "the stream of another token has ended");
    ck_assert_uint_eq(http_streams(d.http), 1);
    close(revoked);
    close(stays);
    close(expires);
    hang_up(&d);
    rig_close(&d);
}
END_TEST

/* -- Tokens of a project ------------------------------------------------------------------------ */

/* Two projects in one daemon, and a token of one of them. */
struct shared {
    struct daemon d;
    struct sockaddr_in a;
    char own[JOB_ID_SIZE], other[JOB_ID_SIZE], over[JOB_ID_SIZE]; /* over: of the other one, too */
    char own_hook[WEBHOOK_ID_SIZE], other_hook[WEBHOOK_ID_SIZE];
    char *headers; /* of the token */
};

static struct job *job_of(struct daemon *d, int n, const char *project, enum job_state state)
{
    struct job *j = rig_job(n);
    struct error err;

    snprintf(j->project, sizeof(j->project), "%s", project);
    snprintf(j->name, sizeof(j->name), "name-of-%s", project);
    j->state = state;
    ck_assert_ok(store_jobs_add(d->store, &j, 1, &err), err);
    if (!job_is_final(state))
        daemon_add_active(d, j);
    return j;
}

static void add_hook(struct daemon *d, const char *project, char id[WEBHOOK_ID_SIZE])
{
    struct webhook w = {
        .enabled = true, .url = str_dup("https://example.org/"), .states = js_new_array()};
    struct error err;

    js_push(w.states, js_new_string("queued"));
    snprintf(w.project, sizeof(w.project), "%s", project);
    ck_assert_ok(webhook_add(d->store, &w, &err), err);
    memcpy(id, w.id, sizeof(w.id));
    webhook_fini(&w);
}

static void open_shared(struct shared *s, const char *name)
{
    struct token t = {.name = "lab's", .scope = SCOPE_OPERATE, .project = "lab"};
    char secret[SECRET_SIZE];
    struct error err;
    struct job *over;

    rig_open(&s->d, name, 64);
    s->a = rig_serve(&s->d);
    memcpy(s->own, job_of(&s->d, 1, "lab", JOB_QUEUED)->id, JOB_ID_SIZE);
    memcpy(s->other, job_of(&s->d, 2, "rival", JOB_QUEUED)->id, JOB_ID_SIZE);
    over = job_of(&s->d, 3, "rival", JOB_SUCCEEDED);
    memcpy(s->over, over->id, JOB_ID_SIZE);
    job_destroy(over);
    add_hook(&s->d, "lab", s->own_hook);
    add_hook(&s->d, "rival", s->other_hook);
    t.expires_ms = clock_wall_ms() + 60000;
    ck_assert_ok(token_add(&s->d, &t, secret, &err), err);
    s->headers = str_fmt("Authorization: Bearer %s\r\n", secret);
}

static void close_shared(struct shared *s)
{
    free(s->headers);
    hang_up(&s->d);
    rig_close(&s->d);
}

/* The status, and the answer in *text. */
static int get(struct shared *s, const char *method, const char *path, struct buf *text)
{
    buf_free(text);
    *text = buf_new(0);
    return status_of(&s->d, &s->a, method, path, s->headers, text);
}

static bool speaks_of_others(const struct shared *s, const struct buf *text)
{
    return strstr(buf_text(text), s->other) || strstr(buf_text(text), s->over) ||
           strstr(buf_text(text), s->other_hook) || strstr(buf_text(text), "rival");
}

/* A path that the pattern fits, with `id` in its first place. */
static char *address(const char *pattern, const char *id)
{
    struct buf b = buf_new(0);

    for (; *pattern; pattern++)
        if (*pattern == '{') {
            buf_str(&b, id);
            id = "1";
            pattern = strchr(pattern, '}');
        } else {
            buf_add(&b, pattern, 1);
        }
    return buf_take(&b);
}

static void try_route(struct shared *s, const struct route *r)
{
    const char *const ids[REACH_COUNT][2] = {[REACH_JOB] = {s->other, s->over},
                                             [REACH_WEBHOOK] = {s->other_hook},
                                             [REACH_PROJECT] = {"rival"},
                                             [REACH_OWN] = {"x"},
                                             [REACH_ALL] = {"rival"}};
    struct buf text = buf_new(0);

    for (size_t i = 0; i < 2 && ids[r->reach][i]; i++) {
        char *path = address(r->pattern, ids[r->reach][i]);
        int status = get(s, r->method, path, &text);

        if (r->reach == REACH_OWN)
            ck_assert_msg(!speaks_of_others(s, &text), "%s %s: %s", r->method, path,
                          buf_text(&text));
        else
            ck_assert_msg(status == (r->reach == REACH_ALL ? 403 : 404), "%s %s: %d: %s", r->method,
                          path, status, buf_text(&text));
        free(path);
    }
    buf_free(&text);
}

START_TEST(nothing_exists_of_other_projects)
{
    struct shared s;
    size_t tried[REACH_COUNT] = {0};

    open_shared(&s, "reach");
    for (size_t i = 0; i < n_routes; i++) {
        const struct route *r = &routes[i];

        ck_assert_msg(!str_starts(r->pattern, "/api/v1/jobs/{") || r->reach == REACH_JOB,
                      "%s %s may be asked about any job", r->method, r->pattern);
        if (r->reach == REACH_SHARED)
            continue;
        try_route(&s, r);
        tried[r->reach]++;
    }
    for (enum reach k = 0; k < REACH_COUNT; k++)
        ck_assert(tried[k] || k == REACH_SHARED);
    close_shared(&s);
}
END_TEST

START_TEST(what_is_the_projects_own_is_there)
{
    static const struct {
        const char *path;
        int status;
        const char *has;
    } cases[] = {
        {"/api/v1/jobs", 200, "name-of-lab"},
        {"/api/v1/jobs?project=rival", 200, "\"items\":[]"},
        {"/api/v1/queue", 200, "\"waiting\":1"},
        {"/api/v1/queue", 200, "name-of-lab"},
        {"/api/v1/projects", 200, "\"name\":\"lab\""},
        {"/api/v1/projects/lab", 200, "\"name\":\"lab\""},
        {"/api/v1/jobs/job_00000000000000000000000001", 200, "name-of-lab"},
        {"/api/v1/jobs/job_00000000000000000000000001/events", 200, "\"items\":[]"},
        {"/api/v1/events?job=job_00000000000000000000000002", 404, "there is no job"},
        {"/api/v1/jobs/job_00000000000000000000000002", 404,
         "there is no job job_00000000000000000000000002"},
        {"/api/v1/jobs/job_00000000000000000000000009", 404,
         "there is no job job_00000000000000000000000009"},
    };
    struct buf text = buf_new(0);
    struct shared s;
    char *path;

    open_shared(&s, "own");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int status = get(&s, "GET", cases[i].path, &text);

        ck_assert_msg(status == cases[i].status && strstr(buf_text(&text), cases[i].has),
                      "%s: %d: %s", cases[i].path, status, buf_text(&text));
    }
    path = str_fmt("/api/v1/webhooks/%s", s.own_hook);
    ck_assert_int_eq(get(&s, "GET", path, &text), 200);
    ck_assert_int_eq(get(&s, "DELETE", path, &text), 204);
    free(path);
    buf_free(&text);
    close_shared(&s);
}
END_TEST

static void add_model(struct daemon *d, const char *name, const char *job)
{
    const int64_t parents[MODEL_ROLE_COUNT] = {0};
    struct model m = {.kind = "train", .about = js_new_object()};
    struct error err;

    snprintf(m.name, sizeof(m.name), "%s", name);
    snprintf(m.job, sizeof(m.job), "%s", job);
    sha256_of(name, strlen(name), m.sha256);
    ck_assert_ok(model_add(d->store, &m, parents, &err), err);
    model_fini(&m);
}

/* All may use them, but which job has made one is that job's business. */
START_TEST(models_do_not_tell_of_others_jobs)
{
    static const char *const paths[] = {"/api/v1/models", "/api/v1/models/big",
                                        "/api/v1/models/big/versions/1",
                                        "/api/v1/models/big/versions/1/lineage"};
    struct buf text = buf_new(0);
    struct shared s;

    open_shared(&s, "models");
    add_model(&s.d, "own", s.own);
    add_model(&s.d, "big", s.over);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        ck_assert_int_eq(get(&s, "GET", paths[i], &text), 200);
        ck_assert_msg(!speaks_of_others(&s, &text), "%s: %s", paths[i], buf_text(&text));
    }
    ck_assert_int_eq(get(&s, "GET", "/api/v1/models/own", &text), 200);
    ck_assert_msg(strstr(buf_text(&text), s.own), "%s", buf_text(&text));
    free(s.headers);
    s.headers = str_dup(ROOT);
    ck_assert_int_eq(get(&s, "GET", "/api/v1/models/big", &text), 200);
    ck_assert_msg(strstr(buf_text(&text), s.over), "%s", buf_text(&text));
    buf_free(&text);
    close_shared(&s);
}
END_TEST

/* The answer to a job that is only looked at. */
static char *judged(struct shared *s, const char *members)
{
    char *body = str_fmt("{\"kind\":\"train\",\"student\":{\"model\":\"resnet8\"}%s}", members);
    char *text = str_fmt("POST /api/v1/jobs?validate_only=true HTTP/1.1\r\nHost: localhost\r\n"
                         "Content-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s",
                         strlen(body), s->headers, body);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct buf answer = buf_new(0);

    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&s->a, sizeof(s->a)), 0);
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    for (int i = 0; i < 100 && !strstr(buf_text(&answer), "}]"); i++) {
        rig_turn(&s->d);
        rig_receive(fd, &answer);
    }
    close(fd);
    rig_turn(&s->d);
    free(text);
    free(body);
    return buf_take(&answer);
}

START_TEST(a_job_goes_into_the_project_of_its_token)
{
    static const char whose[] = "expected lab, the project of the token, got ";
    static const struct {
        const char *members, *says;
    } cases[] = {
        {"", NULL},
        {",\"project\":null", NULL},
        {",\"project\":\"lab\"", NULL},
        {",\"project\":\"rival\"", "got rival"},
        {",\"project\":\"default\"", "got default"},
    };
    struct shared s;
    char *text;

    open_shared(&s, "submit");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        text = judged(&s, cases[i].members);
        /* It has no data, and so it is refused in any case. */
        ck_assert_msg(strstr(text, "#/data"), "%s", text);
        ck_assert_msg(cases[i].says ? strstr(text, whose) && strstr(text, cases[i].says)
                                    : !strstr(text, whose),
                      "case %zu: %s", i, text);
        free(text);
    }
    text = judged(&s, ",\"depends_on\":[{\"job\":\"job_00000000000000000000000002\"},"
                      "{\"job\":\"job_00000000000000000000000001\"}]");
    ck_assert_msg(strstr(text, "#/depends_on/0/job") && !strstr(text, "#/depends_on/1/job"), "%s",
                  text);
    free(text);
    close_shared(&s);
}
END_TEST

/* The state may lie below a folder of data; links that stand above it are the operator's. */
START_TEST(what_is_read_is_the_projects_own_or_data)
{
    static const struct {
        const char *path, *says; /* below the first root; NULL: it may be read */
    } cases[] = {
        {"data/train", NULL},
        {"./data//train", NULL},
        {"roots/jobs/job_00000000000000000000000001/out/best.safetensors", NULL},
        {"roots/jobs/job_00000000000000000000000002/out/best.safetensors", "there is no job"},
        {"roots/jobs/job_00000000000000000000000003/out/best.safetensors", "there is no job"},
        {"roots//jobs/job_00000000000000000000000001/out/best.safetensors", NULL},
        {"roots/jobs/job_00000000000000000000000001/out/../attempts/1/token", "leads out"},
        {"roots/jobs/job_00000000000000000000000001/attempts/1/token", "must lie below"},
        {"roots/token", "must lie below"},
        {"/roots/token", "must lie below"},
        {"./roots/token", "must lie below"},
        {"data/../roots/token", "leads out"},
        {"./roots/jobs/job_00000000000000000000000002/out/best.safetensors", "must lie below"},
        {"link/roots/token", "must lie below"},
        {"link/data/train", NULL},
    };
    const struct caller *const all = NULL;
    struct caller lab = {.project = "lab"};
    char *roots[] = {str_dup(unit_dir()), str_path(unit_dir(), "link")}, *jobs;
    struct shared s;
    struct error err;

    open_shared(&s, "roots");
    ck_assert_int_eq(symlink(unit_dir(), roots[1]), 0);
    jobs = str_path(s.d.state_dir, "jobs");
    ck_assert_int_eq(mkdir(jobs, 0700), 0);
    free(jobs);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *path = str_fmt("%s/%s", unit_dir(), cases[i].path);
        bool ok;

        vec_push(&s.d.settings.data_roots, roots[str_starts(cases[i].path, "link/")]);
        ok = roots_check(&s.d, &lab, path, &err);
        ck_assert_msg(cases[i].says ? !ok && strstr(err.msg, cases[i].says) : ok, "case %zu: %s", i,
                      ok ? "it may" : err.msg);
        ck_assert(roots_check(&s.d, all, path, &err) ==
                  (!cases[i].says || str_starts(cases[i].says, "there")));
        vec_free(&s.d.settings.data_roots);
        free(path);
    }
    free(roots[0]);
    free(roots[1]);
    close_shared(&s);
}
END_TEST

/* Where no folder is set, everything may be read but what is others', whatever way leads there. */
START_TEST(without_roots_what_is_others_stays_theirs)
{
    static const struct {
        const char *path, *says; /* below the folder of tests; NULL: it may be read */
    } cases[] = {
        {"data/train", NULL},
        {"data/../train", "behind what is not there"},
        {"open/../train", NULL},
        {"open/jobs/job_00000000000000000000000001/out/best.safetensors", NULL},
        {"open/jobs/job_00000000000000000000000002/out/best.safetensors", "there is no job"},
        {"open/jobs/job_00000000000000000000000003/out/best.safetensors", "there is no job"},
        {"short/jobs/job_00000000000000000000000001/out/best.safetensors", NULL},
        {"short/jobs/job_00000000000000000000000002/out/best.safetensors", "there is no job"},
        {"./open//jobs/./job_00000000000000000000000002/out/best.safetensors", "there is no job"},
        {"open/jobs/../jobs/job_00000000000000000000000002/out/x", "there is no job"},
        {"open/jobs/job_00000000000000000000000001/attempts/1/token", "own folder"},
        {"open/jobs", "own folder"},
        {"open", "own folder"},
        {"open/token", "own folder"},
        {"open/blobs/0", "own folder"},
        {"short/token", "own folder"},
        {"openly/token", NULL},
    };
    struct caller lab = {.project = "lab"};
    char *jobs, *link = str_path(unit_dir(), "short"), *out;
    struct shared s;
    struct error err;

    open_shared(&s, "open");
    jobs = str_path(s.d.state_dir, "jobs");
    out = str_path(jobs, "job_00000000000000000000000002/out");
    ck_assert_int_eq(symlink(s.d.state_dir, link), 0);
    ck_assert(file_make_dirs(out, 0700, &err));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *path = str_path(unit_dir(), cases[i].path);
        bool ok = roots_check(&s.d, &lab, path, &err);

        ck_assert_msg(cases[i].says ? !ok && strstr(err.msg, cases[i].says) : ok, "case %zu: %s", i,
                      ok ? "it may" : err.msg);
        free(path);
    }
    free(jobs);
    free(link);
    free(out);
    close_shared(&s);
}
END_TEST

/* Of the job that stands in the way, one project tells the other no more than that it is there. */
START_TEST(who_needs_a_job_is_not_told_to_others)
{
    struct buf text = buf_new(0);
    struct shared s;
    struct job *j;

    open_shared(&s, "needs");
    j = job_of(&s.d, 4, "lab", JOB_SUCCEEDED);
    job_destroy(j);
    j = daemon_active(&s.d, s.other)->job;
    free(j->spec);
    j->spec = str_dup("{\"depends_on\":[{\"job\":\"job_00000000000000000000000004\"}]}");
    ck_assert_int_eq(get(&s, "DELETE", "/api/v1/jobs/job_00000000000000000000000004", &text), 409);
    ck_assert_msg(!speaks_of_others(&s, &text) && strstr(buf_text(&text), "another project"), "%s",
                  buf_text(&text));
    buf_free(&text);
    close_shared(&s);
}
END_TEST

static void keep_delivery(const struct delivery *m, void *jobs)
{
    buf_fmt(jobs, "%s ", m->job);
}

/* The messages of a webhook, by job. */
static void delivered(struct shared *s, const char *id, struct buf *jobs)
{
    struct webhook w;
    struct error err;

    ck_assert_ok(webhook_find(s->d.store, id, &w, &err), err);
    ck_assert_ok(deliveries_page(s->d.store, &w, 0, 10, keep_delivery, jobs, &err), err);
    webhook_fini(&w);
}

START_TEST(news_reach_their_own_project_alone)
{
    struct buf got = buf_new(0), jobs = buf_new(0);
    struct shared s;
    struct error err;
    int fd;

    open_shared(&s, "news");
    fd = ask(&s.d, &s.a, "GET", "/api/v1/events", s.headers);
    for (size_t i = 0; i < s.d.active.n; i++) {
        const struct job *j = s.d.active.at[i]->job;

        lifecycle_tell_text(&s.d, "state", j, job_text(j, false));
        ck_assert_ok(deliveries_note(s.d.store, j, 1, 1, &err), err);
    }
    for (int i = 0; i < 50 && !strstr(buf_text(&got), "event: state"); i++) {
        rig_turn(&s.d);
        rig_receive(fd, &got);
    }
    rig_turn(&s.d);
    rig_receive(fd, &got);
    ck_assert_msg(strstr(buf_text(&got), "event: snapshot") &&
                      strstr(buf_text(&got), "event: state") &&
                      strstr(buf_text(&got), "name-of-lab"),
                  "%s", buf_text(&got));
    ck_assert_msg(!speaks_of_others(&s, &got), "%s", buf_text(&got));
    delivered(&s, s.own_hook, &jobs);
    buf_str(&jobs, "/ ");
    delivered(&s, s.other_hook, &jobs);
    ck_assert_str_eq(buf_text(&jobs),
                     "job_00000000000000000000000001 / job_00000000000000000000000002 ");
    buf_free(&got);
    buf_free(&jobs);
    close(fd);
    close_shared(&s);
}
END_TEST

/* -- The audit log ----------------------------------------------------------------------------- */

static void keep_row(struct json *take_row, void *rows)
{
    js_push(rows, take_row);
}

/* All rows, oldest first. */
static struct json *audit_of(struct daemon *d)
{
    struct json *rows = js_new_array();
    struct error err;

    ck_assert_ok(audit_rows(d, 1, INT64_MAX, 1000, false, keep_row, rows, &err), err);
    return rows;
}

/* The first row that breaks the chain, counted from 1; 0: none. */
static size_t broken_row(const struct json *rows)
{
    char hash[SHA256_HEX] = AUDIT_START;

    for (size_t i = 0; i < js_len(rows); i++) {
        const struct json *row = js_at(rows, i);

        audit_hash(hash, row, hash);
        if (js_int(js_get(row, "seq"), 0) != (int64_t)i + 1 ||
            strcmp(hash, js_string(js_get(row, "hash"), "")) != 0)
            return i + 1;
    }
    return 0;
}

static uint64_t commits(struct daemon *d)
{
    const struct histogram *h = store_commit_seconds(d->store);
    uint64_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(h->counts); i++)
        n += h->counts[i];
    return n;
}

static bool run_sql(struct daemon *d, const char *sql, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(d->store), sql, err);

    return q && db_run(q, err);
}

/* One request; its status. */
static int one(struct daemon *d, const struct sockaddr_in *a, const char *method, const char *path,
               const char *headers)
{
    struct buf answer = buf_new(0);
    int status = status_of(d, a, method, path, headers, &answer);

    buf_free(&answer);
    return status;
}

START_TEST(each_change_is_in_the_audit_log_with_its_caller)
{
    static const struct {
        const char *method, *path, *headers;
        int status;
        const char *caller, *subject; /* caller NULL: no row */
    } cases[] = {
        {"POST", "/api/v1/queue:pause", ROOT "X-Request-Id: my-own.1\r\n", 200, "root", ""},
        {"GET", "/api/v1/queue", ROOT, 200, NULL, NULL},
        {"POST", "/api/v1/jobs/job_00000000000000000000000001:cancel", ROOT, 202, "root",
         "job_00000000000000000000000001"},
        {"POST", "/api/v1/jobs/job_00000000000000000000000001:cancel", ROOT, 202, NULL, NULL},
        {"POST", "/api/v1/queue:resume", "", 401, NULL, NULL},
        {"POST", "/api/v1/session", ROOT, 204, "root", ""},
        {"POST", "/api/v1/queue:resume", "reader", 403, "reader", ""},
        {"DELETE", "/api/v1/tokens/0123456789", ROOT, 404, NULL, NULL},
        {"POST", "/api/v1/queue:resume", ROOT "X-Request-Id: no good\r\n", 200, "root", ""},
    };
    char secret[SECRET_SIZE], *reader;
    struct sockaddr_in a;
    struct json *rows;
    struct daemon d;
    struct token t;
    size_t n = 0;

    rig_open(&d, "audit", 16);
    a = rig_serve(&d);
    rig_submit(&d, 1);
    t = add_token(&d, SCOPE_READ, 60000, secret);
    reader = str_fmt("Authorization: Bearer %s\r\n", secret);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool reads = strcmp(cases[i].headers, "reader") == 0;
        uint64_t before = commits(&d);
        int status = one(&d, &a, cases[i].method, cases[i].path, reads ? reader : cases[i].headers);
        const struct json *row;

        ck_assert_msg(status == cases[i].status, "case %zu: %d", i, status);
        rows = audit_of(&d);
        n += cases[i].caller != NULL;
        ck_assert_msg(js_len(rows) == n, "case %zu: %zu rows", i, js_len(rows));
        ck_assert_msg(commits(&d) - before == (cases[i].caller != NULL),
                      "case %zu: %d commits for a row and its change", i,
                      (int)(commits(&d) - before));
        row = js_at(rows, n - 1);
        if (cases[i].caller) {
            ck_assert_str_eq(js_string(js_get(row, "caller"), ""), reads ? t.id : cases[i].caller);
            ck_assert_str_eq(js_string(js_get(row, "subject"), "?"), cases[i].subject);
            ck_assert_str_eq(js_string(js_get(row, "path"), ""), cases[i].path);
            ck_assert_str_eq(js_string(js_get(row, "address"), ""), "127.0.0.1");
            ck_assert_int_eq(js_int(js_get(row, "status"), 0), status);
        }
        if (i == 0)
            ck_assert_str_eq(js_string(js_get(row, "request"), ""), "my-own.1");
        js_free(rows);
    }
    rows = audit_of(&d);
    ck_assert_uint_eq(strlen(js_string(js_path(rows, "4.request"), "")), 16);
    ck_assert_uint_eq(broken_row(rows), 0);
    js_free(rows);
    free(reader);
    hang_up(&d);
    rig_close(&d);
}
END_TEST

START_TEST(a_change_that_cannot_be_audited_is_not_made)
{
    struct sockaddr_in a;
    struct error err;
    struct daemon d;
    bool paused;

    rig_open(&d, "unaudited", 16);
    a = rig_serve(&d);
    ck_assert_int_eq(one(&d, &a, "POST", "/api/v1/queue:pause", ROOT), 200);
    ck_assert(!run_sql(&d, "UPDATE audit SET caller='nobody'", &err));
    ck_assert_msg(strstr(err.msg, "append-only"), "%s", err.msg);
    ck_assert(!run_sql(&d, "DELETE FROM audit", &err));
    ck_assert_ok(run_sql(&d,
                         "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT raise(ABORT,"
                         " 'no room'); END",
                         &err),
                 err);
    ck_assert_int_eq(one(&d, &a, "POST", "/api/v1/queue:resume", ROOT), 503);
    ck_assert_ok(store_paused(d.store, &paused, &err), err);
    ck_assert_msg(paused && d.paused, "the change was made all the same");
    hang_up(&d);
    rig_close(&d);
}
END_TEST

START_TEST(a_commit_that_fails_leaves_no_row)
{
    struct sockaddr_in a;
    struct json *rows;
    struct error err;
    struct daemon d;

    rig_open(&d, "undone", 16);
    a = rig_serve(&d);
    ck_assert_ok(run_sql(&d,
                         "CREATE TABLE owed(job TEXT REFERENCES job(id) DEFERRABLE INITIALLY"
                         " DEFERRED)",
                         &err) &&
                     run_sql(&d,
                             "CREATE TRIGGER owes AFTER INSERT ON setting BEGIN INSERT INTO owed"
                             " VALUES('nobody'); END",
                             &err),
                 err);
    ck_assert_int_eq(one(&d, &a, "POST", "/api/v1/queue:pause", ROOT), 503);
    ck_assert(!d.paused);
    rows = audit_of(&d);
    ck_assert_msg(js_len(rows) == 0, "%zu rows of a change that was not made", js_len(rows));
    js_free(rows);
    ck_assert_ok(run_sql(&d, "DROP TRIGGER owes", &err), err);
    ck_assert_int_eq(one(&d, &a, "POST", "/api/v1/queue:pause", ROOT), 200);
    rows = audit_of(&d);
    ck_assert_uint_eq(js_len(rows), 1);
    js_free(rows);
    hang_up(&d);
    rig_close(&d);
}
END_TEST

static int submit_named(const struct sockaddr_in *a, const char *name)
{
    char *body = str_fmt("{\"kind\":\"train\",\"name\":\"%s\",\"data\":{\"source\":\"idx:/x\"},"
                         "\"student\":{\"model\":\"resnet8\"}}",
                         name);
    char *text = str_fmt("POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n" ROOT
                         "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                         strlen(body), body);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (const struct sockaddr *)a, sizeof(*a)), 0);
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    free(text);
    free(body);
    return fd;
}

enum {
    GROUP = 3
};

/* Three submissions that come together; what stores the second one raises so. Gives their answers, to be freed, and how
 * many jobs there are then. */
static int64_t submit_group(struct daemon *d, const char *raise, struct buf answers[GROUP])
{
    static const char *const names[GROUP] = {"first", "bad", "last"};
    char *sql = str_fmt("CREATE TRIGGER ends BEFORE INSERT ON job WHEN new.name='bad' BEGIN"
                        " SELECT raise(%s, 'no room'); END",
                        raise);
    int64_t counts[JOB_STATE_COUNT];
    int fds[GROUP];
    struct sockaddr_in a;
    struct error err;

    d->paused = true;
    catalog_init(&d->catalog);
    catalog_add(&d->catalog, CATALOG_MODELS, (struct catalog_entry){.name = "resnet8"});
    catalog_add(&d->catalog, CATALOG_DATA, (struct catalog_entry){.name = "idx"});
    catalog_add(&d->catalog, CATALOG_OPTIMIZERS, (struct catalog_entry){.name = "sgd"});
    catalog_add(&d->catalog, CATALOG_SCHEDULES, (struct catalog_entry){.name = "multistep"});
    intake_open(d);
    a = rig_serve(d);
    ck_assert_ok(run_sql(d, sql, &err), err);
    free(sql);
    for (size_t i = 0; i < GROUP; i++)
        fds[i] = submit_named(&a, names[i]);
    rig_turn(d);
    for (size_t i = 0; i < GROUP; i++) {
        answers[i] = buf_new(0);
        rig_receive(fds[i], &answers[i]);
        close(fds[i]);
    }
    ck_assert_ok(store_job_counts(d->store, counts, &err), err);
    return counts[JOB_QUEUED];
}

static void close_group(struct daemon *d, struct buf answers[GROUP])
{
    for (size_t i = 0; i < GROUP; i++)
        buf_free(&answers[i]);
    hang_up(d);
    rig_close(d);
    intake_free(d);
    catalog_free(&d->catalog);
}

/* A full disk may end a transaction at any statement: those before it are undone, those after it would be committed
 * one by one. */
START_TEST(what_is_acknowledged_of_a_group_is_stored)
{
    struct buf answers[GROUP];
    struct json *rows;
    struct daemon d;

    rig_open(&d, "group", 64);
    ck_assert_int_eq(submit_group(&d, "ROLLBACK", answers), 0);
    ck_assert_uint_eq(d.active.n, 0);
    for (size_t i = 0; i < GROUP; i++)
        ck_assert_msg(strstr(buf_text(&answers[i]), " 503 ") &&
                          strstr(buf_text(&answers[i]), "no room"),
                      "%zu: %s", i, buf_text(&answers[i]));
    rows = audit_of(&d);
    ck_assert_uint_eq(js_len(rows), 0);
    js_free(rows);
    close_group(&d, answers);
}
END_TEST

START_TEST(one_that_is_refused_leaves_the_others_of_its_group)
{
    struct buf answers[GROUP];
    struct json *rows;
    struct daemon d;

    rig_open(&d, "others", 64);
    ck_assert_int_eq(submit_group(&d, "ABORT", answers), GROUP - 1);
    ck_assert_uint_eq(d.active.n, GROUP - 1);
    for (size_t i = 0; i < GROUP; i++)
        ck_assert_msg(strstr(buf_text(&answers[i]), i == 1 ? " 503 " : " 202 "), "%zu: %s", i,
                      buf_text(&answers[i]));
    for (size_t i = 0; i < GROUP - 1; i++)
        ck_assert_ptr_nonnull(strstr(buf_text(&answers[2 * i]), d.active.at[i]->job->id));
    rows = audit_of(&d);
    ck_assert_uint_eq(js_len(rows), GROUP - 1);
    js_free(rows);
    close_group(&d, answers);
}
END_TEST

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

START_TEST(a_trace_is_taken_up_if_it_is_one)
{
    static const struct {
        const char *header, *flags; /* NULL: it counts as left out */
    } cases[] = {
        {"00-" TRACE "-" PARENT "-01", "01"},
        {"00-" TRACE "-" PARENT "-00", "00"},
        {"cc-" TRACE "-" PARENT "-01", "01"},
        {"cc-" TRACE "-" PARENT "-01-what-comes-later", "01"},
        {"00-" TRACE "-" PARENT "-01-what-comes-later", NULL},
        {"cc-" TRACE "-" PARENT "-01.what-comes-later", NULL},
        {"ff-" TRACE "-" PARENT "-01", NULL},
        {"00-00000000000000000000000000000000-" PARENT "-01", NULL},
        {"00-" TRACE "-0000000000000000-01", NULL},
        {"00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", NULL},
        {"00-" TRACE "-" PARENT "-1", NULL},
        {"00-" TRACE "-" PARENT "-0x", NULL},
        {"00-" TRACE "-" PARENT, NULL},
        {"0-" TRACE "-" PARENT "-01", NULL},
        {"", NULL},
        {NULL, NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char parent[TRACE_SIZE], span[TRACE_SIZE], again[TRACE_SIZE], *want;
        bool ok = trace_parse(cases[i].header, parent);

        trace_below(parent, span);
        ck_assert_msg(ok == (cases[i].flags != NULL), "case %zu: %s", i, parent);
        if (!ok) {
            ck_assert_msg(!*parent && !*span, "case %zu: %s %s", i, parent, span);
            continue;
        }
        want = str_fmt("00-" TRACE "-" PARENT "-%s", cases[i].flags);
        ck_assert_str_eq(parent, want);
        ck_assert_msg(trace_parse(span, again) && strcmp(span, again) == 0, "case %zu: %s", i,
                      span);
        ck_assert_msg(strncmp(span, want, 36) == 0 && strncmp(span + 36, PARENT, 16) != 0 &&
                          strcmp(span + 52, want + 52) == 0,
                      "case %zu: %s", i, span);
        free(want);
    }
}
END_TEST

START_TEST(a_row_says_of_which_trace_it_is)
{
    struct sockaddr_in a;
    struct json *rows;
    const char *trace;
    struct daemon d;

    rig_open(&d, "trace", 16);
    a = rig_serve(&d);
    ck_assert_int_eq(one(&d, &a, "POST", "/api/v1/queue:pause",
                         ROOT "traceparent: 00-" TRACE "-" PARENT "-01\r\n"),
                     200);
    ck_assert_int_eq(
        one(&d, &a, "POST", "/api/v1/queue:resume", ROOT "traceparent: 00-" TRACE "-01\r\n"), 200);
    hang_up(&d);
    rows = audit_of(&d);
    trace = js_string(js_path(rows, "0.trace"), "");
    ck_assert_msg(str_starts(trace, "00-" TRACE "-") && !strstr(trace, PARENT), "%s", trace);
    ck_assert_int_eq(js_kind(js_path(rows, "1.trace")), JS_NULL);
    ck_assert_uint_eq(broken_row(rows), 0);
    js_free(rows);
    rig_close(&d);
}
END_TEST

START_TEST(every_change_of_a_row_breaks_the_chain_there)
{
    static const char *const texts[] = {"at",      "caller",  "address", "method", "path",
                                        "request", "subject", "trace",   "hash"};
    struct sockaddr_in a;
    struct json *rows;
    struct daemon d;

    rig_open(&d, "chain", 16);
    a = rig_serve(&d);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(
            one(&d, &a, "POST", i % 2 ? "/api/v1/queue:resume" : "/api/v1/queue:pause", ROOT), 200);
    hang_up(&d);
    rows = audit_of(&d);
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
            struct json *bad = js_copy(rows);

            js_set(js_at(bad, i), texts[k], js_new_string("x"));
            ck_assert_msg(broken_row(bad) == i + 1, "row %zu, %s: %zu", i + 1, texts[k],
                          broken_row(bad));
            js_free(bad);
        }
        for (int64_t status = 0; status < 2; status++) {
            struct json *bad = js_copy(rows);

            js_set(js_at(bad, i), status ? "status" : "seq", js_new_int(999));
            ck_assert_uint_eq(broken_row(bad), i + 1);
            js_free(bad);
        }
    }
    js_free(rows);
    rig_close(&d);
}
END_TEST

/* -- Limits ------------------------------------------------------------------------------------ */

/* Two keys ask at random times, and a third that is not limited by them. */
START_TEST(no_more_gets_through_than_rate_and_burst)
{
    enum {
        ASKED = 4000
    };
    static const char *const keys[] = {"10.0.0.1", "10.0.0.2"};
    const double rate = 5, burst = 20;
    uint64_t key = rng_key(unit_seed(), 1);
    struct limiter *l = limiter_new(rate, burst);
    double now = 1000, passed[2] = {0}, wait, end;

    for (int i = 0; i < ASKED; i++) {
        size_t k = rng_below(key, 2 * (uint64_t)i, 2);

        now += rng_uniform(key, 2 * (uint64_t)i + 1) * 0.1;
        if (limiter_take(l, keys[k], now, &wait)) {
            passed[k]++;
        } else {
            ck_assert_msg(wait > 0 && wait <= 1 / rate + 1e-9, "waits %g", wait);
            end = now + wait;
            ck_assert(!limiter_has(l, keys[k], end - wait * 0.1, &wait));
            now = end + 1e-6;
            ck_assert(limiter_has(l, keys[k], now, &wait));
        }
        ck_assert_msg(passed[k] <= burst + rate * (now - 1000) + 1, "%g in %g s", passed[k],
                      now - 1000);
    }
    ck_assert_msg(passed[0] > rate * (now - 1000) * 0.8, "only %g in %g s", passed[0], now - 1000);
    ck_assert(limiter_has(l, "10.0.0.3", now, &wait));
    limiter_free(l);
}
END_TEST

/* More keys than it has room for: those that ask most are the last to be forgotten. */
START_TEST(a_crowd_does_not_free_the_greedy)
{
    struct limiter *l = limiter_new(0.001, 10);
    double wait;

    for (int i = 0; i < 10; i++)
        ck_assert(limiter_take(l, "greedy", 1, &wait));
    for (int i = 0; i < 100000; i++) {
        char *key = str_fmt("key %d", i);

        ck_assert(limiter_take(l, key, 1, &wait));
        free(key);
    }
    ck_assert(!limiter_take(l, "greedy", 1, &wait));
    limiter_free(l);
}
END_TEST

static void expect_limited(struct daemon *d, const struct sockaddr_in *a, const char *headers,
                           const char *why)
{
    struct buf answer = buf_new(0);
    const char *retry;
    int status = status_of(d, a, "GET", "/api/v1/queue", headers, &answer);

    ck_assert_msg(status == 429 && strstr(buf_text(&answer), why), "%d: %s", status,
                  buf_text(&answer));
    retry = strstr(buf_text(&answer), "Retry-After: ");
    ck_assert_msg(retry && strtol(retry + strlen("Retry-After: "), NULL, 10) >= 1, "%s",
                  buf_text(&answer));
    buf_free(&answer);
}

/* The lines of a header in an answer, joined; free() */
static char *lines_of(const struct buf *answer, const char *name)
{
    struct buf b = buf_new(0);

    for (const char *line = strstr(buf_text(answer), name); line; line = strstr(line + 1, name))
        buf_fmt(&b, "%s%.*s", b.len ? ", " : "", (int)strcspn(line + strlen(name), "\r"),
                line + strlen(name));
    return buf_take(&b);
}

START_TEST(an_answer_says_what_is_left)
{
    const struct limit_set set = {.address = {0.5, 8}, .token = {0.001, 2}, .all = true};
    static const char *const want[] = {
        "\"address\";r=7;t=2, \"token\";r=1;t=1000", "\"address\";r=6;t=4, \"token\";r=0;t=2000",
        "\"address\";r=5;t=6, \"token\";r=0;t=2000", /* it is refused */
        "\"address\";r=4;t=8",                       /* so is this, by its token */
    };
    struct sockaddr_in a;
    struct daemon d;

    rig_open(&d, "left", 16);
    a = rig_serve(&d);
    d.limits = limits_new(&set);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        struct buf answer = buf_new(0);
        int status = status_of(&d, &a, "GET", "/api/v1/queue",
                               i < 3 ? ROOT : "Authorization: Bearer dst_x\r\n", &answer);
        char *left = lines_of(&answer, "RateLimit: "),
             *policy = lines_of(&answer, "RateLimit-Policy: ");

        ck_assert_int_eq(status, i < 2 ? 200 : i == 2 ? 429 : 401);
        ck_assert_str_eq(left, want[i]);
        ck_assert_str_eq(policy, i < 3 ? "\"address\";q=8;w=16, \"token\";q=2;w=2000"
                                       : "\"address\";q=8;w=16");
        free(left);
        free(policy);
        buf_free(&answer);
    }
    limits_close(d.limits);
    hang_up(&d);
    rig_close(&d);
}
END_TEST

START_TEST(whoever_asks_too_often_is_told_when_to_come_again)
{
    struct limit_set set = {.address = {0.001, 4}, .token = {0.001, 4}};
    struct sockaddr_in a;
    struct daemon d;

    rig_open(&d, "often", 16);
    a = rig_serve(&d);
    d.limits = limits_new(&set);
    for (int i = 0; i < 8; i++) /* loopback and the root token have no limit but one that was set */
        ck_assert_int_eq(one(&d, &a, "GET", "/api/v1/queue", ROOT), 200);
    limits_close(d.limits);
    set.all = true;
    d.limits = limits_new(&set);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(one(&d, &a, "GET", "/api/v1/queue", ROOT), 200);
    expect_limited(&d, &a, ROOT, "too many requests from 127.0.0.1");
    limits_close(d.limits);
    hang_up(&d);
    rig_close(&d);
}
END_TEST

START_TEST(a_token_has_a_limit_of_its_own)
{
    const struct limit_set set = {.address = {1, 1}, .token = {0.001, 4}};
    char secret[SECRET_SIZE], other[SECRET_SIZE], *headers[2];
    struct sockaddr_in a;
    struct daemon d;

    rig_open(&d, "own", 16);
    a = rig_serve(&d);
    d.limits = limits_new(&set);
    add_token(&d, SCOPE_READ, 60000, secret);
    add_token(&d, SCOPE_READ, 60000, other);
    headers[0] = str_fmt("Authorization: Bearer %s\r\n", secret);
    headers[1] = str_fmt("Authorization: Bearer %s\r\n", other);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(one(&d, &a, "GET", "/api/v1/queue", headers[0]), 200);
    expect_limited(&d, &a, headers[0], "too many requests with the token");
    ck_assert_int_eq(one(&d, &a, "GET", "/api/v1/queue", headers[1]), 200);
    ck_assert_int_eq(one(&d, &a, "GET", "/api/v1/queue", ROOT), 200);
    free(headers[0]);
    free(headers[1]);
    limits_close(d.limits);
    hang_up(&d);
    rig_close(&d);
}
END_TEST

START_TEST(an_address_with_wrong_tokens_must_wait)
{
    struct sockaddr_in a;
    struct daemon d;

    rig_open(&d, "wrong", 16);
    d.settings.auth_failures = 3;
    a = rig_serve(&d);
    d.limits = limits_open(&d.settings);
    for (int i = 0; i < 10; i++) /* without one nothing is tried */
        ck_assert_int_eq(one(&d, &a, "GET", "/api/v1/queue", ""), 401);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(
            one(&d, &a, "GET", "/api/v1/queue",
                i == 1 ? "Cookie: distilld_session=x\r\n" : "Authorization: Bearer dst_x\r\n"),
            401);
    expect_limited(&d, &a, ROOT, "too many wrong tokens from 127.0.0.1");
    limits_close(d.limits);
    hang_up(&d);
    rig_close(&d);
}
END_TEST

UNIT_MAIN(a_token_opens_with_its_whole_secret, a_token_ends_and_says_why,
          a_rotated_secret_works_as_long_as_was_said, a_session_ends_with_its_time_and_its_secret,
          the_last_use_is_known_at_once_and_written_later, no_scope_reaches_further_than_it_says,
          a_session_is_never_admin_and_changes_nothing_alone, streams_end_with_their_token,
          nothing_exists_of_other_projects, what_is_the_projects_own_is_there,
          models_do_not_tell_of_others_jobs, a_job_goes_into_the_project_of_its_token,
          what_is_read_is_the_projects_own_or_data, without_roots_what_is_others_stays_theirs,
          who_needs_a_job_is_not_told_to_others, one_that_is_refused_leaves_the_others_of_its_group,
          news_reach_their_own_project_alone, each_change_is_in_the_audit_log_with_its_caller,
          a_change_that_cannot_be_audited_is_not_made, a_commit_that_fails_leaves_no_row,
          a_trace_is_taken_up_if_it_is_one, a_row_says_of_which_trace_it_is,
          what_is_acknowledged_of_a_group_is_stored, every_change_of_a_row_breaks_the_chain_there,
          no_more_gets_through_than_rate_and_burst, a_crowd_does_not_free_the_greedy,
          an_answer_says_what_is_left, whoever_asks_too_often_is_told_when_to_come_again,
          a_token_has_a_limit_of_its_own, an_address_with_wrong_tokens_must_wait)
