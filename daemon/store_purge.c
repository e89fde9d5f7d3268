/* Jobs that are removed, and which may be. */
#include "daemon/store_parts.h"

#include <stdio.h>

#include "proto/base/clock.h"

/* -- Removing the rows -------------------------------------------------------------------------------- */

static bool run_for(struct store *s, const char *sql, const char *id, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, sql, err);

    if (!q)
        return false;
    db_bind_text(q, 1, id);
    return db_run(q, err);
}

static bool leave_row(struct store *s, const struct purged *p, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state,
                                   "INSERT INTO purged(seq, id, name, state, at_ms, cause, project)"
                                   " VALUES(?1,?2,?3,?4,?5,?6,"
                                   " coalesce((SELECT project FROM job WHERE id=?2), ''))",
                                   err);

    if (!q)
        return false;
    db_bind_int(q, 1, p->seq);
    db_bind_text(q, 2, p->id);
    db_bind_text(q, 3, p->name);
    db_bind_text(q, 4, job_state_name(p->state));
    db_bind_int(q, 5, p->at_ms);
    db_bind_text(q, 6, p->cause);
    return db_run(q, err);
}

/* What was given must stay so when the rows are gone that show it (store_first_event_id). */
static bool keep_event_ids(struct store *s, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state,
                                   "UPDATE counter SET value=max(value, (SELECT"
                                   " coalesce(max(id), 0) + 1 FROM event)) WHERE name='event'",
                                   err);

    return q && db_run(q, err);
}

bool store_purge(struct store *s, const struct purged *p, struct error *err)
{
    const char *const sqls[] = {
        "DELETE FROM attempt WHERE job=?",
        "DELETE FROM event WHERE job=?",
        "DELETE FROM job_use WHERE job=?",
        /* What a damaged row says of its state counts for nothing. */
        p->damaged ? "DELETE FROM job WHERE id=?"
                   : "DELETE FROM job WHERE id=? AND state IN ('succeeded','failed','cancelled')",
    };

    if (!keep_event_ids(s, err) || !leave_row(s, p, err))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(sqls); i++)
        if (!run_for(s, sqls[i], p->id, err))
            return false;
    return db_changes(s->state) == 1 ||
           err_set(err, ERR_CONFLICT, "job %s is not over, or not there any more", p->id);
}

/* -- What is known of them ---------------------------------------------------------------------------- */

static void read_purged(struct db_stmt *q, struct purged *p)
{
    *p = (struct purged){.seq = db_int(q, 0), .at_ms = db_int(q, 4)};
    snprintf(p->id, sizeof(p->id), "%s", db_text(q, 1));
    snprintf(p->name, sizeof(p->name), "%s", db_text(q, 2));
    snprintf(p->cause, sizeof(p->cause), "%s", db_text(q, 5));
    if (!job_state_parse(db_text(q, 3), &p->state))
        p->state = JOB_CANCELLED;
}

#define COLUMNS "seq, id, name, state, at_ms, cause"

bool store_purged_find(struct store *s, const char *id, struct purged *out, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "SELECT " COLUMNS " FROM purged WHERE id=?", err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, id);
    got = db_step(q, err);
    if (got == DB_ROW)
        read_purged(q, out);
    else if (got == DB_DONE)
        err_set(err, ERR_NOT_FOUND, "there is no job %.60s", id);
    db_reset(q);
    return got == DB_ROW;
}

bool store_say_missing(struct store *s, const char *id, struct error *err)
{
    struct purged p;
    char when[CLOCK_TEXT];

    if (!store_purged_find(s, id, &p, err))
        return false;
    return err_set(err, ERR_GONE, "job %s (%s), which was %s, was removed at %s by %s", p.id,
                   p.name[0] ? p.name : "without a name", job_state_name(p.state),
                   clock_text(p.at_ms, when), p.cause);
}

bool store_purged_remains(struct store *s, int64_t after, int64_t limit,
                          void (*fn)(const struct purged *p, void *arg), void *arg,
                          struct error *err)
{
    struct db_stmt *q = db_prepare(s->state,
                                   "SELECT " COLUMNS " FROM purged WHERE remains AND seq > ?"
                                   " ORDER BY seq LIMIT ?",
                                   err);
    enum db_result got;
    struct purged p;

    if (!q)
        return false;
    db_bind_int(q, 1, after);
    db_bind_int(q, 2, limit);
    while ((got = db_step(q, err)) == DB_ROW) {
        read_purged(q, &p);
        fn(&p, arg);
    }
    db_reset(q);
    return got == DB_DONE;
}

bool store_purged_done(struct store *s, int64_t seq, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "UPDATE purged SET remains=0 WHERE seq=?", err);

    if (!q)
        return false;
    db_bind_int(q, 1, seq);
    return db_run(q, err);
}

/* -- Which are over ----------------------------------------------------------------------------------- */

#define ENDED "id, state, finished_ms, sweep_total, attempt"

static struct ended_row read_ended(struct db_stmt *q)
{
    struct ended_row row = {.id = db_text(q, 0),
                            .ended_ms = db_int(q, 2),
                            .sweep_total = db_int(q, 3),
                            .attempt = db_int(q, 4)};

    if (!job_state_parse(db_text(q, 1), &row.state) || !job_is_final(row.state))
        row.state = JOB_STATE_COUNT;
    return row;
}

bool store_ended_before(struct store *s, int64_t before_ms, int64_t limit, ended_fn fn, void *arg,
                        struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->state,
                   "SELECT " ENDED " FROM job WHERE finished_ms > 0 AND finished_ms < ?"
                   " AND sweep IS NULL AND state IN ('succeeded','failed','cancelled')"
                   " ORDER BY finished_ms LIMIT ?",
                   err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_int(q, 1, before_ms);
    db_bind_int(q, 2, limit);
    while ((got = db_step(q, err)) == DB_ROW) {
        const struct ended_row row = read_ended(q);

        fn(&row, arg);
    }
    db_reset(q);
    return got == DB_DONE;
}

bool store_ended(struct store *s, const char *id, struct ended_row *out, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "SELECT " ENDED " FROM job WHERE id=?", err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, id);
    got = db_step(q, err);
    if (got == DB_ROW)
        *out = read_ended(q);
    else if (got == DB_DONE)
        err_set(err, ERR_NOT_FOUND, "there is no job %.60s", id);
    db_reset(q);
    out->id = id;
    return got == DB_ROW;
}

bool store_sweep_of(struct store *s, const char *id, char out[JOB_ID_SIZE], struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "SELECT coalesce(sweep, '') FROM job WHERE id=?", err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, id);
    got = db_step(q, err);
    snprintf(out, JOB_ID_SIZE, "%s", got == DB_ROW ? db_text(q, 0) : "");
    db_reset(q);
    return got != DB_FAILED;
}

bool store_sweep_ids(struct store *s, const char *sweep, int64_t after, int64_t limit,
                     void (*fn)(const char *id, int64_t index, void *arg), void *arg,
                     struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->state,
                   "SELECT id, sweep_index FROM job WHERE sweep=? AND sweep_index > ?"
                   " ORDER BY sweep_index LIMIT ?",
                   err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, sweep);
    db_bind_int(q, 2, after);
    db_bind_int(q, 3, limit);
    while ((got = db_step(q, err)) == DB_ROW)
        fn(db_text(q, 0), db_int(q, 1), arg);
    db_reset(q);
    return got == DB_DONE;
}

bool store_attempt_exists(struct store *s, const char *job, int64_t number)
{
    struct db_stmt *q =
        db_prepare(s->state, "SELECT 1 FROM attempt WHERE job=? AND number=?", NULL);
    bool there;

    if (!q)
        return true;
    db_bind_text(q, 1, job);
    db_bind_int(q, 2, number);
    there = db_step(q, NULL) != DB_DONE;
    db_reset(q);
    return there;
}
