#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/api.h"
#include "daemon/hosts.h"
#include "daemon/lifecycle.h"
#include "daemon/problem.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/wire/validate.h"

enum {
    PAGE_DEFAULT = 100,
    PAGE_MAX = 500
};

const struct job *api_find_job(struct daemon *d, const char *id, struct job **owned,
                               struct error *err)
{
    struct active *a = daemon_active(d, id);

    *owned = a ? NULL : store_job_get(d->store, id, err);
    return a ? a->job : *owned;
}

const struct job *api_job_of(struct daemon *d, struct request *r, struct job **owned)
{
    struct error err;
    const struct job *j = api_find_job(d, r->params[0], owned, &err);

    if (!j)
        problem_reply_error(r, &err);
    return j;
}

bool api_number(struct request *r, const char *name, int64_t lo, int64_t hi, int64_t fallback,
                int64_t *out)
{
    const char *text = http_query(r, name);

    *out = fallback;
    if (!text || str_int(text, lo, hi, out))
        return true;
    problem_reply(r, "bad_request", NULL,
                  "%s: expected a whole number from %" PRId64 " to %" PRId64 ", got \"%.100s\"",
                  name, lo, hi, text);
    return false;
}

/* -- Submission -------------------------------------------------------------------------------- */

static bool is_json(const struct request *r)
{
    static const char type[] = "application/json";
    const char *header = http_header(r, "Content-Type");

    return header && strncasecmp(header, type, strlen(type)) == 0 &&
           (!header[strlen(type)] || strchr("; \t", header[strlen(type)]));
}

static char *check_path(const char *pointer, const char *path, void *arg)
{
    if (*path != '/')
        problems_add(arg, pointer,
                     "must be an absolute path, got \"%s\": the daemon has no folder to take it "
                     "from",
                     path);
    return NULL;
}

/* What only this daemon can tell. */
static void check_here(const struct daemon *d, const JobSpec *spec, struct problems *p)
{
    struct json *j = job_to_json(spec);
    struct error err;

    job_visit_paths(j, check_path, p);
    js_free(j);
    if (!hosts_can_take(d, spec->resources->ranks, spec->resources->threads, &err))
        problems_add(p, "#/resources/ranks", "%s", err.msg);
}

/* NULL when the answer was given. */
static JobSpec *read_spec(struct daemon *d, struct request *r)
{
    struct problems p = {0};
    struct error err;
    struct json *j;
    JobSpec *spec;

    if (!is_json(r)) {
        problem_reply(r, "unsupported_media_type", NULL, "a job is sent as application/json");
        return NULL;
    }
    j = js_parse(buf_text(&r->body), r->body.len, &err);
    if (!j) {
        problem_reply(r, "bad_request", NULL, "%s", err.msg);
        return NULL;
    }
    spec = job_from_json(j, &p);
    if (spec) {
        job_validate(spec, &d->catalog, &p);
        check_here(d, spec, &p);
    }
    js_free(j);
    if (p.list.n) {
        problem_reply(r, "invalid", &p, "the job has %zu problem%s", p.list.n,
                      p.list.n == 1 ? "" : "s");
        job_free(spec);
        spec = NULL;
    }
    problems_free(&p);
    return spec;
}

static void submit(struct daemon *d, struct request *r, const JobSpec *spec)
{
    struct error err;
    struct job *j;
    char *location;

    if (!lifecycle_submit(d, spec, &j, &err)) {
        problem_reply_error(r, &err);
        return;
    }
    location = str_fmt("/api/v1/jobs/%s", j->id);
    http_add_header(r, "Location", location);
    free(location);
    reply_json(r, 202, job_json(j, true));
}

void api_job_submit(struct daemon *d, struct request *r)
{
    const char *only = http_query(r, "validate_only");
    JobSpec *spec = read_spec(d, r);
    struct json *answer;

    if (!spec)
        return;
    if (only && strcmp(only, "true") == 0) {
        answer = js_new_object();
        js_set(answer, "spec", job_to_json(spec));
        reply_json(r, 200, answer);
    } else {
        submit(d, r, spec);
    }
    job_free(spec);
}

/* -- Reading ----------------------------------------------------------------------------------- */

struct page {
    struct daemon *daemon;
    struct json *items;
    size_t n, limit;
    int64_t last_seq;
    bool more;
};

static void add_to_page(struct job *take_job, void *arg)
{
    struct page *p = arg;
    struct active *a = daemon_active(p->daemon, take_job->id);

    p->more = p->n == p->limit;
    if (!p->more) {
        js_push(p->items, job_json(a ? a->job : take_job, true));
        p->last_seq = take_job->seq;
        p->n++;
    }
    job_destroy(take_job);
}

void api_job_list(struct daemon *d, struct request *r)
{
    const char *state_name = http_query(r, "state");
    enum job_state state = JOB_STATE_COUNT;
    int64_t limit, before;
    struct page page = {.daemon = d};
    struct json *answer;
    struct error err;
    char *token;

    if (state_name && !job_state_parse(state_name, &state)) {
        problem_reply(r, "bad_request", NULL, "state: there is no state \"%.40s\"", state_name);
        return;
    }
    if (!api_number(r, "page_size", 1, PAGE_MAX, PAGE_DEFAULT, &limit) ||
        !api_number(r, "page_token", 1, INT64_MAX, 0, &before))
        return;
    page.items = js_new_array();
    page.limit = (size_t)limit;
    if (!store_jobs_page(d->store, before, limit + 1, state, add_to_page, &page, &err)) {
        js_free(page.items);
        problem_reply_error(r, &err);
        return;
    }
    token = str_fmt("%" PRId64, page.last_seq);
    answer = js_new_object();
    js_set(answer, "items", page.items);
    js_set(answer, "next_page_token", page.more ? js_new_string(token) : js_new_null());
    free(token);
    reply_json(r, 200, answer);
}

void api_job_get(struct daemon *d, struct request *r)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);

    if (j)
        reply_json(r, 200, job_json(j, true));
    job_destroy(owned);
}

/* -- Verbs ------------------------------------------------------------------------------------- */

static void act(struct daemon *d, struct request *r,
                bool (*verb)(struct daemon *d, const char *id, struct error *err))
{
    struct job *owned;
    const struct job *j;
    struct error err;

    if (!verb(d, r->params[0], &err)) {
        problem_reply_error(r, &err);
        return;
    }
    j = api_job_of(d, r, &owned);
    if (j)
        reply_json(r, 202, job_json(j, true));
    job_destroy(owned);
}

void api_job_cancel(struct daemon *d, struct request *r)
{
    act(d, r, lifecycle_cancel);
}

void api_job_retry(struct daemon *d, struct request *r)
{
    act(d, r, lifecycle_retry);
}
