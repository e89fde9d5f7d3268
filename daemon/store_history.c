/* Attempts and changes of state. */
#include "daemon/store_parts.h"

#include <stdio.h>

bool store_attempt_add(struct store *s, const char *job, int64_t number, int64_t started_ms,
                       const char *token_sha256, const char *placement, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state,
                                   "INSERT INTO attempt(job, number, started_ms, token_sha256,"
                                   " placement) VALUES(?,?,?,?,?)",
                                   err);

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    db_bind_int(q, 2, number);
    db_bind_int(q, 3, started_ms);
    db_bind_text(q, 4, token_sha256);
    db_bind_text(q, 5, placement);
    return db_run(q, err);
}

int64_t store_attempt_started_ms(struct store *s, const char *job, int64_t number)
{
    struct db_stmt *q =
        db_prepare(s->state, "SELECT started_ms FROM attempt WHERE job=? AND number=?", NULL);
    int64_t ms = 0;

    if (!q)
        return 0;
    db_bind_text(q, 1, job);
    db_bind_int(q, 2, number);
    if (db_step(q, NULL) == DB_ROW)
        ms = db_int(q, 0);
    db_reset(q);
    return ms;
}

bool store_attempt_end(struct store *s, const char *job, int64_t number, int64_t ended_ms,
                       const struct attempt_exit *end, struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->state,
                   "UPDATE attempt SET ended_ms=?3, status=?4, signal=?5,"
                   " stopped=?6, lost=?7, message=?8, class=?9 WHERE job=?1 AND number=?2",
                   err);

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    db_bind_int(q, 2, number);
    db_bind_int(q, 3, ended_ms);
    db_bind_int(q, 4, end->status);
    db_bind_int(q, 5, end->signal);
    db_bind_int(q, 6, end->stopped);
    db_bind_int(q, 7, end->lost);
    db_bind_text(q, 8, end->message);
    db_bind_text(q, 9, failure_name(end->class));
    return db_run(q, err);
}

bool store_attempt_token(struct store *s, const char *job, int64_t number, char hex[SHA256_HEX],
                         struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->state, "SELECT token_sha256 FROM attempt WHERE job=? AND number=?", err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    db_bind_int(q, 2, number);
    got = db_step(q, err);
    snprintf(hex, SHA256_HEX, "%s", got == DB_ROW ? db_text(q, 0) : "");
    db_reset(q);
    if (got == DB_DONE)
        return err_set(err, ERR_NOT_FOUND, "job %s has no attempt %lld", job, (long long)number);
    return got == DB_ROW;
}

bool store_attempts(struct store *s, const char *job,
                    void (*fn)(const struct attempt_row *row, void *arg), void *arg,
                    struct error *err)
{
    struct db_stmt *q = db_prepare(s->state,
                                   "SELECT number, started_ms, ended_ms, status, signal, stopped,"
                                   " lost, message, class, placement FROM attempt WHERE job=?"
                                   " ORDER BY number",
                                   err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    while ((got = db_step(q, err)) == DB_ROW) {
        struct attempt_row row = {.number = db_int(q, 0),
                                  .started_ms = db_int(q, 1),
                                  .ended_ms = db_int(q, 2),
                                  .placement = db_text(q, 9),
                                  .end = {.status = (int)db_int(q, 3),
                                          .signal = (int)db_int(q, 4),
                                          .stopped = db_int(q, 5),
                                          .lost = db_int(q, 6),
                                          .class = failure_parse(db_text(q, 8))}};

        snprintf(row.end.message, sizeof(row.end.message), "%s", db_text(q, 7));
        fn(&row, arg);
    }
    db_reset(q);
    return got == DB_DONE;
}

struct changes {
    uint64_t first; /* id: of the first job's event */
    const struct job *const *jobs;
    int64_t at_ms; /* of all; 0: when each was created */
};

static void bind_event(struct db_stmt *q, int at, size_t i, void *arg)
{
    const struct changes *c = arg;
    const struct job *j = c->jobs[i];

    db_bind_int(q, at++, (int64_t)(c->first + i));
    db_bind_int(q, at++, c->at_ms ? c->at_ms : j->created_ms);
    db_bind_text(q, at++, j->id);
    db_bind_text(q, at++, job_state_name(j->state));
    db_bind_text(q, at++, j->reason.code);
    db_bind_text(q, at++, job_why(j));
}

static bool add_events(struct store *s, struct changes *c, size_t n, struct error *err)
{
    static const char sql[] = "INSERT INTO event(id, at_ms, job, state, code, message)";
    enum {
        COLUMNS = 6
    };

    return db_insert(s->state, sql, COLUMNS, n, bind_event, c, err);
}

bool store_event_add(struct store *s, uint64_t id, int64_t at_ms, const struct job *j,
                     struct error *err)
{
    return add_events(s, &(struct changes){.first = id, .jobs = &j, .at_ms = at_ms}, 1, err);
}

bool store_arrivals_add(struct store *s, uint64_t first_id, struct job *const *jobs, size_t n,
                        struct error *err)
{
    struct changes c = {.first = first_id, .jobs = (const struct job *const *)jobs};

    return add_events(s, &c, n, err);
}

bool store_events(struct store *s, const char *job,
                  void (*fn)(const struct event_row *row, void *arg), void *arg, struct error *err)
{
    struct db_stmt *q = db_prepare(
        s->state, "SELECT id, at_ms, state, code, message FROM event WHERE job=? ORDER BY id", err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    while ((got = db_step(q, err)) == DB_ROW) {
        const struct event_row row = {db_int(q, 0), db_int(q, 1), db_text(q, 2), db_text(q, 3),
                                      db_text(q, 4)};

        fn(&row, arg);
    }
    db_reset(q);
    return got == DB_DONE;
}

bool store_first_event_id(struct store *s, uint64_t *out, struct error *err)
{
    /* Rows count too: when the reservation could not be stored, history may be ahead of it. */
    struct db_stmt *q =
        db_prepare(s->state,
                   "SELECT max(1, value, (SELECT coalesce(max(id), 0) + 1 FROM event))"
                   " FROM counter WHERE name='event'",
                   err);
    enum db_result got = q ? db_step(q, err) : DB_FAILED;

    *out = got == DB_ROW ? (uint64_t)db_int(q, 0) : 1;
    if (q)
        db_reset(q);
    return got != DB_FAILED;
}

bool store_reserve_events(struct store *s, uint64_t below, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "UPDATE counter SET value=? WHERE name='event'", err);

    if (!q)
        return false;
    db_bind_int(q, 1, (int64_t)below);
    return db_run(q, err);
}
