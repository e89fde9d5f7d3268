#include "daemon/webhooks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/row.h"
#include "proto/base/clock.h"
#include "proto/base/hmac.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"

enum {
    DELAY_MS = 1000,
    DELAY_MAX_MS = 3600 * 1000
};

/* -- Webhooks ------------------------------------------------------------------------------------- */

#define COLUMNS                                                                          \
    "seq, id, url, secret, states, enabled, failure, created_ms, (SELECT count(*) FROM " \
    "delivery WHERE webhook=webhook.seq AND state='pending'), project"

void webhook_fini(struct webhook *w)
{
    free(w->url);
    free(w->failure);
    js_free(w->states);
    *w = (struct webhook){.seq = 0};
}

/* Whom nobody could tell what it is told of. */
static void set_aside(struct webhook *w)
{
    w->enabled = false;
    free(w->failure);
    w->failure = str_dup("its row in state.db is damaged: nobody knows of which states it is told; "
                         "give them again");
}

static void read_webhook(struct db_stmt *q, struct webhook *w)
{
    *w = (struct webhook){.seq = db_int(q, 0),
                          .url = str_dup(db_text(q, 2)),
                          .states = row_json(q, 4, "states", JS_ARRAY, db_text(q, 1)),
                          .enabled = db_int(q, 5),
                          .failure = db_is_null(q, 6) ? NULL : str_dup(db_text(q, 6)),
                          .created_ms = db_int(q, 7),
                          .pending = db_int(q, 8)};
    snprintf(w->id, sizeof(w->id), "%s", db_text(q, 1));
    snprintf(w->secret, sizeof(w->secret), "%s", db_text(q, 3));
    snprintf(w->project, sizeof(w->project), "%s", db_text(q, 9));
    if (!w->states)
        set_aside(w);
}

bool webhook_add(struct store *s, struct webhook *w, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s),
                                   "INSERT INTO webhook(id, url, secret, states, enabled,"
                                   " created_ms, project) VALUES(?,?,?,?,?,?,?)",
                                   err);
    char name[SECRET_SIZE], *states;
    bool ok;

    if (!q)
        return false;
    secret_new("", name);
    snprintf(w->id, sizeof(w->id), "wh_%.16s", name);
    secret_new("", w->secret);
    states = js_text(w->states, JS_COMPACT);
    db_bind_text(q, 1, w->id);
    db_bind_text(q, 2, w->url);
    db_bind_text(q, 3, w->secret);
    db_bind_text(q, 4, states);
    db_bind_int(q, 5, w->enabled);
    db_bind_int(q, 6, w->created_ms);
    db_bind_text(q, 7, w->project);
    ok = db_run(q, err);
    free(states);
    w->seq = ok ? db_last_rowid(store_state(s)) : 0;
    return ok;
}

bool webhook_update(struct store *s, const struct webhook *w, struct error *err)
{
    struct db_stmt *q = db_prepare(
        store_state(s), "UPDATE webhook SET url=?2, states=?3, enabled=?4, failure=?5 WHERE seq=?1",
        err);
    char *states;
    bool ok;

    if (!q)
        return false;
    states = js_text(w->states, JS_COMPACT);
    db_bind_int(q, 1, w->seq);
    db_bind_text(q, 2, w->url);
    db_bind_text(q, 3, states);
    db_bind_int(q, 4, w->enabled);
    db_bind_text(q, 5, w->failure);
    ok = db_run(q, err);
    free(states);
    return ok;
}

bool webhook_remove(struct store *s, const struct webhook *w, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s), "DELETE FROM webhook WHERE seq=?", err);

    if (!q)
        return false;
    db_bind_int(q, 1, w->seq);
    return db_run(q, err);
}

/* The row that q gives, if it gives one. */
static bool take_row(struct db_stmt *q, struct webhook *out, struct error *err)
{
    enum db_result got = db_step(q, err);

    *out = (struct webhook){.seq = 0};
    if (got == DB_ROW)
        read_webhook(q, out);
    else if (got == DB_DONE)
        err_set(err, ERR_NOT_FOUND, "there is no such webhook");
    db_reset(q);
    return got == DB_ROW;
}

bool webhook_missing(const char *id, struct error *err)
{
    err_set(err, ERR_NOT_FOUND, "there is no such webhook");
    return err_wrap(err, "%.40s", id);
}

bool webhook_find(struct store *s, const char *id, struct webhook *out, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(s), "SELECT " COLUMNS " FROM webhook WHERE id=?", err);

    if (!q)
        return false;
    db_bind_text(q, 1, id);
    return take_row(q, out, err) || err_wrap(err, "%.40s", id);
}

bool webhook_of(struct store *s, int64_t seq, struct webhook *out, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(s), "SELECT " COLUMNS " FROM webhook WHERE seq=?", err);

    if (!q)
        return false;
    db_bind_int(q, 1, seq);
    return take_row(q, out, err);
}

bool webhooks_page(struct store *s, const char *project, int64_t before, int64_t limit,
                   void (*fn)(const struct webhook *w, void *arg), void *arg, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(s),
                   "SELECT " COLUMNS " FROM webhook WHERE seq < ?1 AND (?3 IS NULL OR project=?3)"
                   " ORDER BY seq DESC LIMIT ?2",
                   err);
    enum db_result got;
    struct webhook w;

    if (!q)
        return false;
    db_bind_int(q, 1, before ? before : INT64_MAX);
    db_bind_int(q, 2, limit);
    db_bind_text(q, 3, project);
    while ((got = db_step(q, err)) == DB_ROW) {
        read_webhook(q, &w);
        fn(&w, arg);
        webhook_fini(&w);
    }
    db_reset(q);
    return got == DB_DONE;
}

static struct json *time_of(int64_t wall_ms)
{
    char text[CLOCK_TEXT];

    return wall_ms ? js_new_string(clock_text(wall_ms, text)) : js_new_null();
}

struct json *webhook_json(const struct webhook *w)
{
    struct json *j = js_new_object();

    js_set(j, "id", js_new_string(w->id));
    js_set(j, "url", js_new_string(w->url));
    js_set(j, "states", w->states ? js_copy(w->states) : js_new_array());
    js_set(j, "project", w->project[0] ? js_new_string(w->project) : js_new_null());
    js_set(j, "enabled", js_new_bool(w->enabled));
    js_set(j, "failure", w->failure ? js_new_string(w->failure) : js_new_null());
    js_set(j, "created_at", time_of(w->created_ms));
    js_set(j, "pending", js_new_int(w->pending));
    return j;
}

void webhook_key(const struct webhook *w, unsigned char key[WEBHOOK_KEY_BYTES])
{
    for (size_t i = 0; i < WEBHOOK_KEY_BYTES; i++) {
        const char digits[] = {w->secret[2 * i], w->secret[2 * i + 1], '\0'};

        key[i] = (unsigned char)strtoul(digits, NULL, 16);
    }
}

char *webhook_secret_text(const struct webhook *w)
{
    unsigned char key[WEBHOOK_KEY_BYTES];
    char text[BASE64_SIZE(sizeof(key))];

    webhook_key(w, key);
    return str_fmt("whsec_%s", base64(key, sizeof(key), text));
}

/* -- Messages ------------------------------------------------------------------------------------- */

/* A damaged one is set aside here as where rows are read. */
#define IS_ON(w) \
    w "enabled AND CASE WHEN json_valid(" w "states) THEN json_type(" w "states)='array' END"

/* Where they come from: the webhooks that get one. */
#define INSERT_MESSAGES                                                          \
    "INSERT INTO delivery(event, job, type, body, created_ms, next_ms, webhook)" \
    " SELECT ?1, ?2, ?3, ?4, ?5, ?5, seq FROM webhook WHERE "
#define IS_TOLD                                           \
    "(project='' OR project=?7) AND EXISTS(SELECT 1 FROM" \
    " json_each(CASE WHEN " IS_ON("") " THEN states ELSE '[]' END) WHERE value=?6)"

static char *message_text(const char *type, uint64_t event, int64_t now_ms, struct json *take_data)
{
    struct json *j = js_new_object();
    char *text;

    js_set(j, "type", js_new_string(type));
    js_set(j, "timestamp", time_of(now_ms));
    js_set(j, "event_id", event ? js_new_int((int64_t)event) : js_new_null());
    js_set(j, "data", take_data);
    text = js_text(j, JS_COMPACT);
    js_free(j);
    return text;
}

/* q: INSERT_MESSAGES, with its last parameters bound. */
static bool add_messages(struct db_stmt *q, const struct job *j, const char *type, uint64_t event,
                         int64_t now_ms, struct error *err)
{
    char *body = message_text(type, event, now_ms, j ? job_json(j, false) : js_new_object());
    bool ok;

    db_bind_int(q, 1, (int64_t)event);
    db_bind_text(q, 2, j ? j->id : NULL);
    db_bind_text(q, 3, type);
    db_bind_text(q, 4, body);
    db_bind_int(q, 5, now_ms);
    ok = db_run(q, err);
    free(body);
    return ok;
}

/* Most changes are told to nobody, and then no message is written. */
static bool is_told(struct store *s, const struct job *j, bool *out, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(s), "SELECT 1 FROM webhook WHERE " IS_TOLD " LIMIT 1", err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 6, job_state_name(j->state));
    db_bind_text(q, 7, j->project);
    got = db_step(q, err);
    *out = got == DB_ROW;
    db_reset(q);
    return got != DB_FAILED;
}

bool deliveries_wanted(struct store *s, bool *out, struct error *err)
{
    struct db_stmt *q =
        db_prepare(store_state(s), "SELECT 1 FROM webhook WHERE " IS_ON("") " LIMIT 1", err);
    enum db_result got = q ? db_step(q, err) : DB_FAILED;

    *out = got == DB_ROW;
    if (q)
        db_reset(q);
    return got != DB_FAILED;
}

bool deliveries_note(struct store *s, const struct job *j, uint64_t event, int64_t now_ms,
                     struct error *err)
{
    const char *state = job_state_name(j->state);
    struct db_stmt *q;
    char type[32];
    bool told;

    if (!is_told(s, j, &told, err))
        return false;
    if (!told)
        return true;
    q = db_prepare(store_state(s), INSERT_MESSAGES IS_TOLD, err);
    if (!q)
        return false;
    snprintf(type, sizeof(type), "job.%s", state);
    db_bind_text(q, 6, state);
    db_bind_text(q, 7, j->project);
    return add_messages(q, j, type, event, now_ms, err);
}

bool delivery_test(struct store *s, const struct webhook *w, int64_t now_ms, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s), INSERT_MESSAGES "seq=?6", err);

    if (!q)
        return false;
    db_bind_int(q, 6, w->seq);
    return add_messages(q, NULL, "test", 0, now_ms, err);
}

#define DELIVERY_COLUMNS                                                                \
    "m.id, m.webhook, m.event, m.job, m.type, m.body, m.state, m.tries, m.created_ms, " \
    "m.next_ms, m.done_ms, m.status, m.message"

static bool each_delivery(struct db_stmt *q, delivery_fn fn, void *arg, struct error *err)
{
    enum db_result got;

    while ((got = db_step(q, err)) == DB_ROW) {
        const struct delivery m = {.id = db_int(q, 0),
                                   .webhook = db_int(q, 1),
                                   .event = db_int(q, 2),
                                   .job = db_is_null(q, 3) ? NULL : db_text(q, 3),
                                   .type = db_text(q, 4),
                                   .body = db_text(q, 5),
                                   .state = db_text(q, 6),
                                   .tries = db_int(q, 7),
                                   .created_ms = db_int(q, 8),
                                   .next_ms = db_int(q, 9),
                                   .done_ms = db_int(q, 10),
                                   .status = db_int(q, 11),
                                   .message = db_text(q, 12)};

        fn(&m, arg);
    }
    db_reset(q);
    return got == DB_DONE;
}

/* The message of each webhook that comes first. */
#define FIRST_MESSAGES                                                                     \
    " FROM webhook w JOIN delivery m ON m.id=(SELECT id FROM delivery WHERE webhook=w.seq" \
    " AND state='pending' ORDER BY next_ms, id LIMIT 1) WHERE " IS_ON("w.")

bool deliveries_due(struct store *s, int64_t now_ms, delivery_fn fn, void *arg, struct error *err)
{
    /* A clock that was set back must not keep a message waiting: no pause is as long as two hours. */
    struct db_stmt *q = db_prepare(store_state(s),
                                   "SELECT " DELIVERY_COLUMNS FIRST_MESSAGES
                                   " AND (m.next_ms <= ?1 OR m.next_ms > ?1 + 7200000)",
                                   err);

    if (!q)
        return false;
    db_bind_int(q, 1, now_ms);
    return each_delivery(q, fn, arg, err);
}

int64_t deliveries_next_ms(struct store *s, int64_t now_ms)
{
    struct db_stmt *q = db_prepare(
        store_state(s), "SELECT min(m.next_ms)" FIRST_MESSAGES " AND m.next_ms > ?1", NULL);
    int64_t next = INT64_MAX;

    if (!q)
        return next;
    db_bind_int(q, 1, now_ms);
    if (db_step(q, NULL) == DB_ROW && !db_is_null(q, 0))
        next = db_int(q, 0);
    db_reset(q);
    return next;
}

bool delivery_update(struct store *s, const struct delivery *m, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s),
                                   "UPDATE delivery SET state=?2, tries=?3, next_ms=?4, done_ms=?5,"
                                   " status=?6, message=?7 WHERE id=?1",
                                   err);

    if (!q)
        return false;
    db_bind_int(q, 1, m->id);
    db_bind_text(q, 2, m->state);
    db_bind_int(q, 3, m->tries);
    db_bind_int(q, 4, m->next_ms);
    db_bind_int(q, 5, m->done_ms);
    db_bind_int(q, 6, m->status);
    db_bind_text(q, 7, m->message);
    return db_run(q, err);
}

bool delivery_again(struct store *s, const struct webhook *w, int64_t id, int64_t now_ms,
                    struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s),
                                   "UPDATE delivery SET state='pending', tries=0, next_ms=?3,"
                                   " done_ms=0 WHERE id=?1 AND webhook=?2",
                                   err);

    if (!q)
        return false;
    db_bind_int(q, 1, id);
    db_bind_int(q, 2, w->seq);
    db_bind_int(q, 3, now_ms);
    if (!db_run(q, err))
        return false;
    return db_changes(store_state(s)) == 1 ||
           err_set(err, ERR_NOT_FOUND, "webhook %s has no delivery %lld", w->id, (long long)id);
}

bool deliveries_page(struct store *s, const struct webhook *w, int64_t before, int64_t limit,
                     delivery_fn fn, void *arg, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(s),
                                   "SELECT " DELIVERY_COLUMNS " FROM delivery m WHERE webhook=?1"
                                   " AND id < ?2 ORDER BY id DESC LIMIT ?3",
                                   err);

    if (!q)
        return false;
    db_bind_int(q, 1, w->seq);
    db_bind_int(q, 2, before ? before : INT64_MAX);
    db_bind_int(q, 3, limit);
    return each_delivery(q, fn, arg, err);
}

bool deliveries_forget(struct store *s, int64_t before_ms, struct error *err)
{
    struct db_stmt *q = db_prepare(
        store_state(s), "DELETE FROM delivery WHERE state<>'pending' AND done_ms < ?", err);

    if (!q)
        return false;
    db_bind_int(q, 1, before_ms);
    return db_run(q, err);
}

struct json *delivery_json(const struct delivery *m)
{
    struct json *j = js_new_object();
    bool waits = strcmp(m->state, "pending") == 0;

    js_set(j, "id", js_new_int(m->id));
    js_set(j, "type", js_new_string(m->type));
    js_set(j, "job", m->job ? js_new_string(m->job) : js_new_null());
    js_set(j, "event_id", m->event ? js_new_int(m->event) : js_new_null());
    js_set(j, "state", js_new_string(m->state));
    js_set(j, "tries", js_new_int(m->tries));
    js_set(j, "created_at", time_of(m->created_ms));
    js_set(j, "next_at", waits ? time_of(m->next_ms) : js_new_null());
    js_set(j, "done_at", time_of(m->done_ms));
    js_set(j, "status", m->status ? js_new_int(m->status) : js_new_null());
    js_set(j, "message", js_new_string(m->message));
    return j;
}

int64_t delivery_delay_ms(int64_t tries, int64_t wait_s, uint64_t seed)
{
    const int64_t asked = wait_s < DELAY_MAX_MS / 1000 ? wait_s * 1000 : DELAY_MAX_MS;
    int64_t delay = DELAY_MS;

    for (int64_t i = 1; i < tries && delay < DELAY_MAX_MS; i++)
        delay *= 2;
    delay = delay < DELAY_MAX_MS ? delay : DELAY_MAX_MS;
    delay = (int64_t)((double)delay * (0.8 + 0.4 * rng_uniform(seed, (uint64_t)tries)));
    return delay > asked ? delay : asked;
}
