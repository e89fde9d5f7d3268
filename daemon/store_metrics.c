/* Points of jobs, in a file of their own. */
#include "daemon/store_parts.h"

#include <string.h>

int64_t store_metrics_offset(struct store *s, const char *job)
{
    struct db_stmt *q = db_prepare(s->metrics, "SELECT offset FROM spool WHERE job=?", NULL);
    int64_t offset = 0;

    if (!q)
        return 0;
    db_bind_text(q, 1, job);
    if (db_step(q, NULL) == DB_ROW)
        offset = db_int(q, 0);
    db_reset(q);
    return offset;
}

static void bind_series(struct db_stmt *q, const char *job, const struct metric_point *p)
{
    db_bind_text(q, 1, job);
    db_bind_text(q, 2, p->name);
    db_bind_text(q, 3, p->split);
}

static bool make_series(struct store *s, const char *job, const struct metric_point *p, int64_t *id,
                        struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->metrics, "INSERT INTO series(job, name, split) VALUES(?,?,?)", err);

    if (!q)
        return false;
    bind_series(q, job, p);
    if (!db_run(q, err))
        return false;
    *id = db_last_rowid(s->metrics);
    return true;
}

/* The number of a series, made if it is new. */
static bool find_series(struct store *s, const char *job, const struct metric_point *p, int64_t *id,
                        struct error *err)
{
    struct db_stmt *q =
        db_prepare(s->metrics, "SELECT id FROM series WHERE job=? AND name=? AND split=?", err);
    enum db_result got;

    if (!q)
        return false;
    bind_series(q, job, p);
    got = db_step(q, err);
    *id = got == DB_ROW ? db_int(q, 0) : 0;
    db_reset(q);
    return got == DB_ROW || (got == DB_DONE && make_series(s, job, p, id, err));
}

/* Series that points of a batch have had, so that each is looked up once. */
struct known {
    struct {
        const char *name, *split;
        int64_t id;
    } at[64];
    size_t n;
};

static bool series_of(struct store *s, const char *job, const struct metric_point *p,
                      struct known *known, int64_t *id, struct error *err)
{
    for (size_t i = 0; i < known->n; i++)
        if (strcmp(known->at[i].name, p->name) == 0 && strcmp(known->at[i].split, p->split) == 0) {
            *id = known->at[i].id;
            return true;
        }
    if (!find_series(s, job, p, id, err))
        return false;
    if (known->n < ARRAY_LEN(known->at)) {
        known->at[known->n].name = p->name;
        known->at[known->n].split = p->split;
        known->at[known->n++].id = *id;
    }
    return true;
}

static bool add_point(struct store *s, const char *job, const struct metric_point *p,
                      struct known *known, struct error *err)
{
    struct db_stmt *q = db_prepare(s->metrics, "INSERT OR REPLACE INTO point VALUES(?,?,?)", err);
    int64_t series;

    if (!q || !series_of(s, job, p, known, &series, err))
        return false;
    db_bind_int(q, 1, series);
    db_bind_int(q, 2, p->step);
    db_bind_real(q, 3, p->value);
    return db_run(q, err);
}

static bool set_offset(struct store *s, const char *job, int64_t offset, struct error *err)
{
    struct db_stmt *q = db_prepare(s->metrics, "INSERT OR REPLACE INTO spool VALUES(?,?)", err);

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    db_bind_int(q, 2, offset);
    return db_run(q, err);
}

bool store_metrics_add(struct store *s, const char *job, const struct metric_point *points,
                       size_t n, int64_t offset, struct error *err)
{
    struct known known = {.n = 0};
    bool ok = db_begin(s->metrics, err);

    for (size_t i = 0; ok && i < n; i++)
        ok = add_point(s, job, &points[i], &known, err);
    ok = ok && set_offset(s, job, offset, err) && db_commit(s->metrics, err);
    if (!ok)
        db_rollback(s->metrics);
    return ok;
}

bool store_metrics_reset(struct store *s, const char *job, struct error *err)
{
    static const char *const sqls[] = {
        "DELETE FROM point WHERE series IN (SELECT id FROM series WHERE job=?)",
        "DELETE FROM series WHERE job=?",
        "DELETE FROM spool WHERE job=?",
    };
    bool ok = db_begin(s->metrics, err);

    for (size_t i = 0; ok && i < ARRAY_LEN(sqls); i++) {
        struct db_stmt *q = db_prepare(s->metrics, sqls[i], err);

        if (q)
            db_bind_text(q, 1, job);
        ok = q && db_run(q, err);
    }
    ok = ok && db_commit(s->metrics, err);
    if (!ok)
        db_rollback(s->metrics);
    return ok;
}

/* The points of one series of the job, up to a step `limit` points on; then the series itself. */
static bool trim_series(struct store *s, int64_t series, int64_t limit, struct error *err)
{
    struct db_stmt *points = db_prepare(
        s->metrics,
        "DELETE FROM point WHERE series=?1 AND step <= coalesce((SELECT step FROM point WHERE"
        " series=?1 ORDER BY step LIMIT 1 OFFSET ?2), 9223372036854775807)",
        err);
    struct db_stmt *empty = db_prepare(s->metrics,
                                       "DELETE FROM series WHERE id=?1 AND NOT EXISTS"
                                       " (SELECT 1 FROM point WHERE series=?1)",
                                       err);

    if (!points || !empty)
        return false;
    db_bind_int(points, 1, series);
    db_bind_int(points, 2, limit);
    db_bind_int(empty, 1, series);
    return db_run(points, err) && db_run(empty, err);
}

/* 0: it has none. */
static bool any_series(struct store *s, const char *job, int64_t *id, struct error *err)
{
    struct db_stmt *q = db_prepare(s->metrics, "SELECT id FROM series WHERE job=? LIMIT 1", err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    got = db_step(q, err);
    *id = got == DB_ROW ? db_int(q, 0) : 0;
    db_reset(q);
    return got != DB_FAILED;
}

bool store_metrics_trim(struct store *s, const char *job, int64_t limit, bool *more,
                        struct error *err)
{
    int64_t series;

    if (!any_series(s, job, &series, err))
        return false;
    *more = series != 0;
    return *more ? trim_series(s, series, limit, err) : store_metrics_reset(s, job, err);
}

bool store_metrics_read(struct store *s, const struct metric_query *what,
                        void (*fn)(const struct metric_point *p, void *arg), void *arg,
                        struct error *err)
{
    struct db_stmt *q = db_prepare(s->metrics,
                                   "SELECT name, split, step, value FROM series JOIN point"
                                   " ON point.series = series.id"
                                   " WHERE job=?1 AND (?2 IS NULL OR name=?2)"
                                   " AND step BETWEEN ?3 AND ?4 ORDER BY name, split, step",
                                   err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, what->job);
    db_bind_text(q, 2, what->name);
    db_bind_int(q, 3, what->from);
    db_bind_int(q, 4, what->to);
    while ((got = db_step(q, err)) == DB_ROW) {
        const struct metric_point p = {db_text(q, 0), db_text(q, 1), db_int(q, 2), db_real(q, 3)};

        fn(&p, arg);
    }
    db_reset(q);
    return got == DB_DONE;
}

bool store_metrics_catalogue(struct store *s, const char *job,
                             void (*fn)(const struct series_row *row, void *arg), void *arg,
                             struct error *err)
{
    struct db_stmt *q = db_prepare(s->metrics,
                                   "SELECT name, split, min(step), max(step), count(*) FROM series"
                                   " JOIN point ON point.series = series.id WHERE job=?"
                                   " GROUP BY series.id ORDER BY name, split",
                                   err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, job);
    while ((got = db_step(q, err)) == DB_ROW) {
        const struct series_row row = {db_text(q, 0), db_text(q, 1), db_int(q, 2), db_int(q, 3),
                                       db_int(q, 4)};

        fn(&row, arg);
    }
    db_reset(q);
    return got == DB_DONE;
}
