/* POST /jobs/{id}:resize {"ranks": N}: the job goes on with another number of ranks, to the same bytes. */
#include <string.h>

#include "daemon/api.h"
#include "daemon/hosts.h"
#include "daemon/lifecycle.h"
#include "daemon/problem.h"
#include "daemon/projects.h"
#include "proto/wire/validate.h"

/* Adds what is wrong with the members of the body. */
static int64_t read_ranks(const struct json *body, struct problems *p)
{
    const struct json *ranks = js_get(body, "ranks");

    if (js_kind(body) != JS_OBJECT)
        problems_add(p, "#", "expected an object, got %s", js_kind_name(js_kind(body)));
    else if (js_kind(ranks) != JS_INT)
        problems_add(p, "#/ranks", "expected an integer, got %s",
                     ranks ? js_kind_name(js_kind(ranks)) : "nothing");
    for (void *it = js_first(body); it; it = js_next(body, it))
        if (strcmp(js_key(it), "ranks") != 0)
            problems_add(p, "#", "unknown member \"%.40s\"; the only one is \"ranks\"", js_key(it));
    return js_int(ranks, 0);
}

/* Adds what speaks against so many ranks for this job here. */
static void check_ranks(const struct daemon *d, const struct job *j, int64_t ranks,
                        struct problems *p)
{
    struct json *spec = js_parse(j->spec, strlen(j->spec), NULL);
    int64_t lanes = js_int(js_path(spec, "train.lanes"), 0);
    struct error err;

    js_free(spec);
    if (strcmp(j->kind, "train") != 0 && strcmp(j->kind, "distill") != 0)
        problems_add(p, "#/ranks", "expected a job of kind train or distill, got one of kind %s",
                     j->kind);
    else if (job_is_sweep(j))
        problems_add(p, "#/ranks", "job %s is a sweep; its jobs have ranks, one by one", j->id);
    else if (!job_ranks_fit(ranks, lanes, &err) ||
             (job_is_elastic(j) && !job_ranks_allowed(ranks, j->ranks_min, j->ranks_max, &err)))
        problems_add(p, "#/ranks", "%s", err.msg);
    else if (!hosts_can_take(d, ranks, j->threads, &err) ||
             !projects_can_take(d, j->project, ranks * j->threads, &err))
        problems_add(p, "#/ranks", "%s", err.msg);
}

/* False when the answer was given. */
static bool wanted_ranks(const struct daemon *d, struct request *r, const struct job *j,
                         int64_t *ranks)
{
    struct json *body = api_body(r, "a number of ranks");
    struct problems p = {0};
    bool ok;

    if (!body)
        return false;
    *ranks = read_ranks(body, &p);
    if (!p.list.n)
        check_ranks(d, j, *ranks, &p);
    js_free(body);
    ok = p.list.n == 0;
    if (!ok)
        problem_reply(r, "invalid", &p, "job %s cannot have these ranks", j->id);
    problems_free(&p);
    return ok;
}

void api_job_resize(struct daemon *d, struct request *r)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);
    struct error err;
    int64_t ranks;

    if (!j)
        return;
    if (owned)
        problem_reply(r, "conflict", NULL, "job %s is over already: it is %s", j->id,
                      job_state_name(j->state));
    else if (wanted_ranks(d, r, j, &ranks)) {
        if (lifecycle_resize(d, daemon_active(d, j->id), ranks, NULL, &err))
            reply_json_text(r, 202, job_text(j, true));
        else
            problem_reply_error(r, &err);
    }
    job_destroy(owned);
}
