#include "daemon/projects.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/attempts.h"
#include "daemon/db.h"
#include "daemon/share.h"
#include "proto/base/clock.h"

/* -- The list -------------------------------------------------------------------------------------- */

static size_t find(const struct daemon *d, const char *name)
{
    size_t i = 0;

    while (i < d->projects.n && strcmp(d->projects.at[i].name, name) != 0)
        i++;
    return i;
}

size_t projects_index(struct daemon *d, const char *name)
{
    size_t at = find(d, name);

    if (at == d->projects.n) {
        struct project p = {.weight = 1};

        snprintf(p.name, sizeof(p.name), "%s", name);
        vec_push(&d->projects, p);
    }
    return at;
}

struct project *projects_find(const struct daemon *d, const char *name)
{
    size_t at = find(d, name);

    return at < d->projects.n ? &d->projects.at[at] : NULL;
}

bool projects_load(struct daemon *d, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(d->store),
                                   "SELECT name, weight, quota_slots, quota_queued, used, used_ms"
                                   " FROM project ORDER BY name",
                                   err);
    enum db_result got;

    if (!q)
        return false;
    while ((got = db_step(q, err)) == DB_ROW) {
        size_t at = projects_index(d, db_text(q, 0)); /* which may move them */
        struct project *p = &d->projects.at[at];

        p->weight = db_real(q, 1);
        p->quota_slots = db_int(q, 2);
        p->quota_queued = db_int(q, 3);
        p->used_slot_s = db_real(q, 4);
        p->used_ms = db_int(q, 5);
    }
    db_reset(q);
    return got == DB_DONE;
}

static bool save(struct daemon *d, const struct project *p, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(d->store),
                                   "INSERT OR REPLACE INTO project(name, weight, quota_slots,"
                                   " quota_queued, used, used_ms) VALUES(?,?,?,?,?,?)",
                                   err);

    if (!q)
        return false;
    db_bind_text(q, 1, p->name);
    db_bind_real(q, 2, p->weight);
    db_bind_int(q, 3, p->quota_slots);
    db_bind_int(q, 4, p->quota_queued);
    db_bind_real(q, 5, p->used_slot_s);
    db_bind_int(q, 6, p->used_ms);
    return db_run(q, err);
}

bool projects_put(struct daemon *d, const struct project *p, struct error *err)
{
    size_t at;

    if (!save(d, p, err))
        return false;
    at = projects_index(d, p->name); /* which may move them */
    d->projects.at[at] = *p;
    return true;
}

/* -- Use ------------------------------------------------------------------------------------------- */

static struct project charged(const struct daemon *d, size_t project, int64_t slot_ms,
                              int64_t now_ms)
{
    struct project p = d->projects.at[project];

    p.used_slot_s = share_decayed(p.used_slot_s, now_ms - p.used_ms) + (double)slot_ms / 1e3;
    p.used_ms = now_ms;
    return p;
}

bool projects_charge(struct daemon *d, size_t project, int64_t slot_ms, int64_t now_ms,
                     struct error *err)
{
    const struct project p = charged(d, project, slot_ms, now_ms);

    return save(d, &p, err);
}

void projects_charged(struct daemon *d, size_t project, int64_t slot_ms, int64_t now_ms)
{
    d->projects.at[project] = charged(d, project, slot_ms, now_ms);
}

double projects_used(const struct daemon *d, size_t project, int64_t now_ms)
{
    return charged(d, project, 0, now_ms).used_slot_s;
}

/* -- Quota ----------------------------------------------------------------------------------------- */

/* As they are in the transaction that is open: those of one request are stored together. */
static bool waiting(const struct daemon *d, const char *name, int64_t *n, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(d->store),
                                   "SELECT count(*) FROM job WHERE state='queued' AND project=?"
                                   " AND sweep IS NULL",
                                   err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_text(q, 1, name);
    got = db_step(q, err);
    *n = got == DB_ROW ? db_int(q, 0) : 0;
    db_reset(q);
    return got == DB_ROW;
}

/* taken: how many wait; -1: not known yet. */
static bool take_room(const struct daemon *d, const struct project *p, int64_t *taken,
                      struct error *err)
{
    if (!p->quota_queued)
        return true;
    if (*taken < 0 && !waiting(d, p->name, taken, err))
        return false;
    return (*taken)++ < p->quota_queued ||
           err_set(err, ERR_QUOTA,
                   "project %s has %" PRId64 " waiting jobs, as many as it may have", p->name,
                   p->quota_queued);
}

bool projects_has_room(const struct daemon *d, const char *name, struct error *err)
{
    const struct project *p = projects_find(d, name);
    int64_t taken = -1;

    return !p || take_room(d, p, &taken, err);
}

bool projects_have_room(const struct daemon *d, struct job *const *jobs, size_t n,
                        struct error *err)
{
    int64_t *taken = NEW_ARRAY(int64_t, d->projects.n);
    bool ok = true;

    for (size_t i = 0; i < d->projects.n; i++)
        taken[i] = -1;
    for (size_t i = 0; ok && i < n; i++) {
        const struct project *p = projects_find(d, jobs[i]->project);

        ok = !p || jobs[i]->origin.sweep[0] || take_room(d, p, &taken[p - d->projects.at], err);
    }
    free(taken);
    return ok;
}

bool projects_can_take(const struct daemon *d, const char *name, int64_t slots, struct error *err)
{
    const struct project *p = projects_find(d, name);

    return !p || !p->quota_slots || slots <= p->quota_slots ||
           err_set(err, ERR_INVALID,
                   "the job needs %" PRId64 " slots; project %s may have %" PRId64 " at once",
                   slots, name, p->quota_slots);
}

/* -- The API --------------------------------------------------------------------------------------- */

static struct json *limit(int64_t n)
{
    return n ? js_new_int(n) : js_new_null();
}

struct json *project_json(const struct daemon *d, size_t project)
{
    const struct project *p = &d->projects.at[project];
    struct json *j = js_new_object(), *quota = js_new_object();
    int64_t slots = 0, running = 0, queued = 0, used_ms = 0;

    for (size_t i = 0; i < d->active.n; i++) {
        struct active *a = d->active.at[i];

        if (a->project != project)
            continue;
        queued += a->job->state == JOB_QUEUED;
        if (!attempts_running(a))
            continue;
        running++;
        slots += job_slots(a->job);
        used_ms += job_slots(a->job) * attempts_lasted_ms(d, a);
    }
    js_set(quota, "slots", limit(p->quota_slots));
    js_set(quota, "queued", limit(p->quota_queued));
    js_set(j, "name", js_new_string(p->name));
    js_set(j, "weight", js_new_real(p->weight));
    js_set(j, "quota", quota);
    js_set(j, "used_slot_s",
           js_new_real(projects_used(d, project, clock_wall_ms()) + (double)used_ms / 1e3));
    js_set(j, "used_slots", js_new_int(slots));
    js_set(j, "running", js_new_int(running));
    js_set(j, "waiting", js_new_int(queued));
    return j;
}
