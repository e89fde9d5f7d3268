/* What a sweep asks of the jobs that it has made. */
#include "daemon/store_parts.h"

#include <stdio.h>

bool store_sweep_redo(struct store *s, const struct job *sweep, char out[JOB_ID_SIZE],
                      struct error *err)
{
    struct db_stmt *q = db_prepare(s->state,
                                   "SELECT id FROM job WHERE sweep=? AND state IN"
                                   " ('failed','cancelled') AND sweep_round < ? LIMIT 1",
                                   err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, sweep->id);
    db_bind_int(q, 2, sweep->attempt);
    got = db_step(q, err);
    snprintf(out, JOB_ID_SIZE, "%s", got == DB_ROW ? db_text(q, 0) : "");
    db_reset(q);
    return got != DB_FAILED;
}

bool store_sweep_spec(struct store *s, const char *id, const char *spec, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "UPDATE job SET spec=? WHERE id=?", err);

    if (!q)
        return false;
    db_bind_text(q, 1, spec);
    db_bind_text(q, 2, id);
    return db_run(q, err);
}

bool store_sweep_skip(struct store *s, const char *id, int64_t round, struct error *err)
{
    struct db_stmt *q = db_prepare(s->state, "UPDATE job SET sweep_round=? WHERE id=?", err);

    if (!q)
        return false;
    db_bind_int(q, 1, round);
    db_bind_text(q, 2, id);
    return db_run(q, err);
}

bool store_sweep_jobs(struct store *s, const char *sweep, int64_t first, int64_t end,
                      void (*fn)(const struct sweep_row *row, void *arg), void *arg,
                      struct error *err)
{
    struct db_stmt *q = db_prepare(s->state,
                                   "SELECT sweep_index, id, state, result FROM job WHERE sweep=?"
                                   " AND sweep_index >= ? AND sweep_index < ? ORDER BY sweep_index",
                                   err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, sweep);
    db_bind_int(q, 2, first);
    db_bind_int(q, 3, end);
    while ((got = db_step(q, err)) == DB_ROW) {
        const struct sweep_row row = {db_int(q, 0), db_text(q, 1), db_text(q, 2), db_text(q, 3)};

        fn(&row, arg);
    }
    db_reset(q);
    return got == DB_DONE;
}
