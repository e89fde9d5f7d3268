/* The list of jobs. */
#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/ids.h"
#include "daemon/listing.h"
#include "daemon/page.h"
#include "daemon/problem.h"
#include "daemon/reach.h"
#include "daemon/sched.h"
#include "daemon/turns.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    /* So many are searched on the loop: another thread would take longer to begin. */
    QUICK_JOBS = 2000
};

struct page {
    struct daemon *daemon;
    struct listing list;
    struct job_filter filter; /* of texts of the request, but for */
    char *label;
    struct buf query;
    /* What a search has found, on its thread; owned. */
    VEC(struct job *) found;
    struct error err;
    bool ok;
};

static void page_free(void *arg)
{
    struct page *p = arg;

    for (size_t i = 0; i < p->found.n; i++)
        job_destroy(p->found.at[i]);
    vec_free(&p->found);
    listing_drop(&p->list);
    buf_free(&p->query);
    free(p->label);
    free(p);
}

/* What is active is known better here than in the file. */
static void add_to_page(struct job *take_job, void *arg)
{
    struct page *p = arg;
    struct active *a = daemon_active(p->daemon, take_job->id);

    if (a)
        sched_explain(p->daemon, a);
    if (listing_has_room(&p->list))
        job_write(listing_write(&p->list, take_job->seq), NULL, a ? a->job : take_job, true);
    job_destroy(take_job);
}

/* ?label=key:value; the value may have colons of its own. */
static bool split_label(const char *text, char **key, const char **value)
{
    const char *colon = text ? strchr(text, ':') : NULL;

    *key = colon ? str_ndup(text, (size_t)(colon - text)) : NULL;
    *value = colon ? colon + 1 : NULL;
    return !text || colon;
}

static bool take_order(struct request *r, struct job_filter *f)
{
    const char *order = http_query(r, "order_by");

    f->oldest_first = order && strcmp(order, "created_at") == 0;
    if (!order || f->oldest_first || strcmp(order, "-created_at") == 0)
        return true;
    problem_reply(r, "bad_request", NULL,
                  "order_by: expected created_at or -created_at, got \"%.60s\"", order);
    return false;
}

static bool take_time(struct request *r, const char *name, int64_t *ms)
{
    const char *text = http_query(r, name);

    *ms = 0;
    if (!text || (clock_parse(text, ms) && *ms > 0 && *ms < ID_TIME_END))
        return true;
    problem_reply(r, "bad_request", NULL,
                  "%s: expected a time as in RFC 3339, 2026-01-31T12:00:00Z, got \"%.60s\"", name,
                  text);
    return false;
}

/* Ids rise with the time that stands in them, and seq with ids. */
static bool take_times(struct daemon *d, struct request *r, struct job_filter *f)
{
    int64_t after_ms, before_ms;
    struct error err;

    if (!take_time(r, "created_after", &after_ms) || !take_time(r, "created_before", &before_ms))
        return false;
    if ((after_ms && !store_job_at(d->store, after_ms + 1, &f->after, &err)) ||
        (before_ms && !store_job_at(d->store, before_ms, &f->before, &err))) {
        problem_reply_error(r, &err);
        return false;
    }
    f->after -= after_ms ? 1 : 0;
    return true;
}

/* Words that no job can have are mistakes. */
static bool check_words(struct request *r, const struct job_filter *f)
{
    if (f->kind && !job_kind_known(f->kind))
        problem_reply(r, "bad_request", NULL, "kind: there is no kind \"%.40s\"", f->kind);
    else if (f->sweep && !id_valid(f->sweep))
        problem_reply(r, "bad_request", NULL, "sweep: expected the id of a job, got \"%.60s\"",
                      f->sweep);
    else
        return true;
    return false;
}

/* Which list is meant, as the query says. False when the answer was given. */
static bool take_list(struct daemon *d, struct request *r, struct job_filter *f, char **label,
                      struct buf *query)
{
    static const char *const names[] = {"state",          "kind",  "name",    "project",
                                        "owner",          "label", "sweep",   "created_after",
                                        "created_before", "q",     "order_by"};
    const char *state = http_query(r, "state");

    *f = (struct job_filter){.state = JOB_STATE_COUNT,
                             .kind = http_query(r, "kind"),
                             .name = http_query(r, "name"),
                             .project = http_query(r, "project"),
                             .owner = http_query(r, "owner"),
                             .sweep = http_query(r, "sweep"),
                             .text = http_query(r, "q"),
                             .only = reach_only(&r->caller)};
    if (state && !job_state_parse(state, &f->state)) {
        problem_reply(r, "bad_request", NULL, "state: there is no state \"%.40s\"", state);
        return false;
    }
    if (!split_label(http_query(r, "label"), label, &f->label_value)) {
        problem_reply(r, "bad_request", NULL, "label: expected KEY:VALUE, got \"%.100s\"",
                      http_query(r, "label"));
        return false;
    }
    if (!check_words(r, f) || !take_order(r, f) || !take_times(d, r, f))
        return false;
    f->label = *label;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        page_add_parameter(query, names[i], http_query(r, names[i]));
    return true;
}

/* -- The answer ---------------------------------------------------------------------------------------- */

static void reply(struct request *r, void *arg)
{
    struct page *p = arg;

    for (size_t i = 0; i < p->found.n; i++)
        add_to_page(p->found.at[i], p);
    p->found.n = 0;
    if (p->ok)
        listing_reply(p->daemon, r, &p->list, "/api/v1/jobs", buf_text(&p->query));
    else
        problem_reply_error(r, &p->err);
}

static bool read_page(struct store *s, struct page *p, store_job_fn fn)
{
    return store_jobs_page(s, p->list.before, (int64_t)p->list.limit + 1, &p->filter, fn, p,
                           &p->err);
}

static void keep(struct job *take_job, void *arg)
{
    struct page *p = arg;

    vec_push(&p->found, take_job);
}

static void search(void *arg, struct turn *t)
{
    struct page *p = arg;
    struct store *s = turn_goes_on(t) ? store_open_reader(p->daemon->state_dir, &p->err) : NULL;

    p->ok = s && read_page(s, p, keep);
    store_close(s);
}

static bool takes_long(const struct daemon *d, const struct job_filter *f)
{
    switch (store_jobs_among(f)) {
    case JOBS_AMONG_ALL: return store_last_job(d->store) > QUICK_JOBS;
    case JOBS_AMONG_ACTIVE: return d->active.n > QUICK_JOBS;
    case JOBS_AT_HAND: break;
    }
    return false;
}

void api_job_list(struct daemon *d, struct request *r)
{
    struct page *p = NEW(struct page);

    p->daemon = d;
    p->query = buf_new(0);
    if (!take_list(d, r, &p->filter, &p->label, &p->query) ||
        !listing_begin(d, r, buf_text(&p->query), &p->list) ||
        !listing_of_jobs(d, r, buf_text(&p->query), &p->list)) {
        page_free(p);
        return;
    }
    if (takes_long(d, &p->filter)) {
        turns_work(d, r, search, reply, page_free, p);
        return;
    }
    p->ok = read_page(d->store, p, add_to_page);
    reply(r, p);
    page_free(p);
}
