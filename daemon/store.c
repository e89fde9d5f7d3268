#include "daemon/store_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"

static struct db *open_file(const char *dir, const char *name, enum db_sync sync,
                            const struct db_schema *schema, struct error *err)
{
    char *path = str_path(dir, name);
    struct db *db = db_open(path, sync, schema, err);

    free(path);
    return db;
}

struct store *store_open(const char *dir, struct error *err)
{
    struct store *s = NEW(struct store);

    s->state = open_file(dir, "state.db", DB_SYNC_FULL, &store_state_schema, err);
    s->metrics =
        s->state ? open_file(dir, "metrics.db", DB_SYNC_NORMAL, &store_metrics_schema, err) : NULL;
    if (s->metrics)
        return s;
    store_close(s);
    return NULL;
}

struct store *store_open_reader(const char *dir, struct error *err)
{
    struct store *s = NEW(struct store);
    char *path = str_path(dir, "state.db");

    s->state = db_open_reader(path, err);
    free(path);
    if (s->state)
        return s;
    free(s);
    return NULL;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    db_close(s->state);
    db_close(s->metrics);
    free(s);
}

void store_on_broken(struct store *s, void (*fn)(void *arg), void *arg)
{
    db_on_broken(s->state, fn, arg);
    db_on_broken(s->metrics, fn, arg);
}

void store_on_long_log(struct store *s, void (*fn)(void *arg, struct db *db), void *arg)
{
    db_on_long_log(s->state, fn, arg);
    db_on_long_log(s->metrics, fn, arg);
}

const char *store_trouble(struct store *s, struct error *err)
{
    bool paused;

    err_clear(err);
    if (!db_trouble(s->state))
        return NULL;
    if (store_paused(s, &paused, err) && store_set_paused(s, paused, err))
        return NULL;
    return db_trouble(s->state);
}

bool store_begin(struct store *s, struct error *err)
{
    return db_begin(s->state, err);
}

bool store_commit(struct store *s, struct error *err)
{
    return db_commit(s->state, err);
}

void store_rollback(struct store *s)
{
    db_rollback(s->state);
}

struct db *store_state(struct store *s)
{
    return s->state;
}

const struct histogram *store_commit_seconds(const struct store *s)
{
    return db_commit_seconds(s->state);
}

/* -- Answers to requests, and the switch of the queue ------------------------------------------------- */

bool store_reply_find(struct store *s, const char *key, struct stored_reply *out, struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->state, "SELECT body_sha256, job, status, text FROM reply WHERE key=?", err);
    enum db_result got;

    *out = (struct stored_reply){.text = NULL};
    if (!q)
        return false;
    db_bind_text(q, 1, key);
    got = db_step(q, err);
    if (got == DB_ROW) {
        snprintf(out->body_sha256, sizeof(out->body_sha256), "%s", db_text(q, 0));
        snprintf(out->job, sizeof(out->job), "%s", db_text(q, 1));
        out->status = (int)db_int(q, 2);
        out->text = str_dup(db_text(q, 3));
    }
    db_reset(q);
    return got != DB_FAILED;
}

bool store_reply_add(struct store *s, const char *key, const struct stored_reply *reply,
                     int64_t now_ms, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state,
                                   "INSERT INTO reply(key, body_sha256, job, status, text,"
                                   " created_ms) VALUES(?,?,?,?,?,?)",
                                   err);

    if (!q)
        return false;
    db_bind_text(q, 1, key);
    db_bind_text(q, 2, reply->body_sha256);
    db_bind_text(q, 3, reply->job);
    db_bind_int(q, 4, reply->status);
    db_bind_text(q, 5, reply->text);
    db_bind_int(q, 6, now_ms);
    return db_run(q, err);
}

bool store_replies_forget(struct store *s, int64_t before_ms, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "DELETE FROM reply WHERE created_ms < ?", err);

    if (!q)
        return false;
    db_bind_int(q, 1, before_ms);
    return db_run(q, err);
}

/* -- Settings: numbers by name; 0 where there is none -------------------------------------------------- */

static bool get_setting(struct store *s, const char *name, int64_t *out, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "SELECT value FROM setting WHERE name=?", err);
    enum db_result got;

    *out = 0;
    if (!q)
        return false;
    db_bind_text(q, 1, name);
    got = db_step(q, err);
    if (got == DB_ROW)
        *out = db_int(q, 0);
    db_reset(q);
    return got != DB_FAILED;
}

static bool set_setting(struct store *s, const char *name, int64_t value, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "INSERT OR REPLACE INTO setting VALUES(?, ?)", err);

    if (!q)
        return false;
    db_bind_text(q, 1, name);
    db_bind_int(q, 2, value);
    return db_run(q, err);
}

bool store_paused(struct store *s, bool *out, struct error *err)
{
    int64_t paused;
    bool ok = get_setting(s, "paused", &paused, err);

    *out = paused != 0;
    return ok;
}

bool store_set_paused(struct store *s, bool paused, struct error *err)
{
    return set_setting(s, "paused", paused, err);
}

bool store_recovered(struct store *s, int64_t *copied_ms, struct error *err)
{
    return get_setting(s, STORE_RECOVERED, copied_ms, err);
}

bool store_set_recovered(struct store *s, struct error *err)
{
    return set_setting(s, STORE_RECOVERED, 0, err);
}

bool store_drained(struct store *s, const char *host, int64_t *since_ms, struct error *err)
{
    char *name = str_fmt("drained:%s", host);
    bool ok = get_setting(s, name, since_ms, err);

    free(name);
    return ok;
}

bool store_set_drained(struct store *s, const char *host, int64_t since_ms, struct error *err)
{
    char *name = str_fmt("drained:%s", host);
    bool ok = set_setting(s, name, since_ms, err);

    free(name);
    return ok;
}
