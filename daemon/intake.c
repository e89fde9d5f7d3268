#include "daemon/intake.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/audit.h"
#include "daemon/db.h"
#include "daemon/lifecycle.h"
#include "daemon/problem.h"
#include "daemon/soon.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

typedef VEC(struct intake_request *) request_list;

struct intake {
    struct daemon *daemon;
    struct soon turn;
    request_list expected, waiting;
    bool refused; /* one of the last group was */
};

void intake_expect(struct daemon *d, struct intake_request *q)
{
    q->expected = d->intake;
    vec_push(&d->intake->expected, q);
}

static void has_come(struct intake_request *q)
{
    request_list *list = q->expected ? &q->expected->expected : NULL;
    size_t i = 0;

    if (!list)
        return;
    while (list->at[i] != q)
        i++;
    list->at[i] = list->at[--list->n];
    q->expected = NULL;
}

void intake_drop(struct intake_request *q)
{
    if (!q)
        return;
    has_come(q);
    for (size_t i = 0; i < q->jobs.n; i++)
        job_destroy(q->jobs.at[i]);
    vec_free(&q->jobs);
    if (q->free_arg)
        q->free_arg(q->arg);
    free(q->text);
    free(q->location);
    free(q);
}

/* -- In one transaction ------------------------------------------------------------------------------- */

/* Where the transaction stands: the newest id of a job, and the next one of an event. */
struct place {
    char last[JOB_ID_SIZE];
    uint64_t event;
};

static bool store_jobs(struct daemon *d, struct job *const *jobs, size_t n, struct place *p,
                       struct error *err)
{
    if (!lifecycle_store(d, jobs, n, p->last, p->event, err))
        return false;
    p->event += n;
    return true;
}

/* What is kept of a request whose jobs are stored. */
static bool store_answer(struct daemon *d, struct intake_request *q, struct error *err)
{
    q->text = q->answer(q);
    if (q->locate)
        q->location = str_fmt("/api/v1/jobs/%s", q->jobs.at[0]->id);
    return (!q->idempotency.key[0] ||
            idempotency_keep(d, &q->idempotency, q->jobs.at[0]->id, q->text, err)) &&
           audit_record(d, q->r, q->jobs.at[0]->id, IDEMPOTENCY_STATUS, err);
}

/* One that cannot be stored leaves nothing, and the others as they are. */
static bool store_apart(struct daemon *d, struct intake_request *q, struct place *p)
{
    struct db *db = store_state(d->store);
    const struct place before = *p;

    if (!db_part_begin(db, &q->err))
        return false;
    if (store_jobs(d, q->jobs.at, q->jobs.n, p, &q->err) && store_answer(d, q, &q->err) &&
        db_part_end(db, &q->err))
        return true;
    db_part_undo(db);
    q->r->audited = 0;
    *p = before;
    return false;
}

/* False when the transaction has ended early, by one of them: then none is stored. */
static bool store_each(struct daemon *d, request_list *list, struct place *p, struct error *err)
{
    for (size_t i = 0; i < list->n; i++) {
        struct intake_request *q = list->at[i];

        q->ok = store_apart(d, q, p);
        if (!q->ok && !db_in_transaction(store_state(d->store))) {
            *err = q->err;
            return false;
        }
    }
    return true;
}

static void refuse_all(request_list *list, const struct error *err)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->at[i]->ok) {
            list->at[i]->ok = false;
            list->at[i]->r->audited = 0;
            list->at[i]->err = *err;
        }
}

static bool store_whole(struct daemon *d, request_list *list, struct place *p, struct error *err)
{
    VEC(struct job *) all = {0};
    bool ok;

    for (size_t i = 0; i < list->n; i++)
        for (size_t k = 0; k < list->at[i]->jobs.n; k++)
            vec_push(&all, list->at[i]->jobs.at[k]);
    ok = store_jobs(d, all.at, all.n, p, err);
    for (size_t i = 0; ok && i < list->n; i++)
        ok = store_answer(d, list->at[i], err);
    if (!ok)
        refuse_all(list, err); /* which of them it was shows when they are tried apart */
    vec_free(&all);
    return ok;
}

/* As if none of them had been tried. */
static void forget_all(request_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        struct intake_request *q = list->at[i];

        free(q->text);
        free(q->location);
        q->text = q->location = NULL;
        q->r->audited = 0;
        q->ok = true;
    }
}

/* Each for itself, or all or none. */
static bool store_together(struct daemon *d, request_list *list, bool apart, struct error *err)
{
    struct place p = {.event = events_next_id(d->events)};

    forget_all(list);
    if (store_last_job_id(d->store, p.last, err) && store_begin(d->store, err) &&
        (apart ? store_each(d, list, &p, err) : store_whole(d, list, &p, err)) &&
        store_commit(d->store, err))
        return true;
    store_rollback(d->store);
    return false;
}

static bool all_ok(const request_list *list)
{
    size_t i = 0;

    while (i < list->n && list->at[i]->ok)
        i++;
    return i == list->n;
}

/* What it takes to undo one of them costs more than to store it, and mostly none is refused as late as here. So they are
 * tried as one, and once more apart when one was. Whoever goes on asking beyond a quota makes the others pay once. */
static void store_all(struct intake *in, request_list *list)
{
    struct daemon *d = in->daemon;
    const bool apart = in->refused && list->n > 1;
    struct error err;
    bool stored = store_together(d, list, apart, &err) ||
                  (!apart && list->n > 1 && !all_ok(list) && store_together(d, list, true, &err));

    in->refused = list->n > 1 && !all_ok(list);
    if (!stored)
        refuse_all(list, &err);
}

/* -- Around it ---------------------------------------------------------------------------------------- */

static void answer(struct request *r, void *arg)
{
    struct intake_request *q = arg;

    if (q->ok && q->location)
        http_add_header(r, "Location", q->location);
    if (q->ok)
        reply_bytes(r, IDEMPOTENCY_STATUS, "application/json; charset=utf-8", q->text,
                    strlen(q->text));
    else
        problem_reply_error(r, &q->err);
    intake_drop(q);
}

static void admit(struct daemon *d, const request_list *list)
{
    struct buf log = buf_new(0);

    for (size_t i = 0; i < list->n; i++) {
        struct intake_request *q = list->at[i];

        for (size_t k = 0; q->ok && k < q->jobs.n; k++)
            lifecycle_admit(d, q->jobs.at[k], &log);
        if (q->ok)
            vec_free(&q->jobs);
    }
    log_flush(&log);
    buf_free(&log);
}

static void on_turn(void *arg)
{
    struct intake *in = arg;
    request_list list = in->waiting;

    in->waiting = (request_list){0};
    store_all(in, &list);
    admit(in->daemon, &list);
    for (size_t i = 0; i < list.n; i++)
        http_release(list.at[i]->r);
    vec_free(&list);
}

void intake_add(struct daemon *d, struct intake_request *take_q)
{
    struct intake *in = d->intake;

    has_come(take_q);
    soon_call(&in->turn);
    vec_push(&in->waiting, take_q);
    http_hold(take_q->r, answer, take_q);
}

static bool has_key(const request_list *list, const struct idempotency *i)
{
    for (size_t k = 0; k < list->n; k++) {
        const struct idempotency *other = &list->at[k]->idempotency;

        if (strcmp(other->key, i->key) == 0 && strcmp(other->owner, i->owner) == 0)
            return true;
    }
    return false;
}

bool intake_has_key(const struct daemon *d, const struct idempotency *i)
{
    return has_key(&d->intake->expected, i) || has_key(&d->intake->waiting, i);
}

void intake_open(struct daemon *d)
{
    struct intake *in = NEW(struct intake);

    in->daemon = d;
    soon_init(&in->turn, &d->loop, on_turn, in);
    d->intake = in;
}

void intake_free(struct daemon *d)
{
    if (!d->intake)
        return;
    vec_free(&d->intake->expected);
    vec_free(&d->intake->waiting);
    free(d->intake);
}
