/* PATCH /jobs/{id}: what people call a job, and how urgent it is. Whoever changes it says by If-Match which state of it
 * was seen: of two who change it at once, the second is told. */
#include <inttypes.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/body.h"
#include "daemon/lifecycle.h"
#include "daemon/problem.h"
#include "proto/base/mem.h"
#include "proto/wire/validate.h"

static bool is_name(const struct json *value, struct error *err)
{
    return job_name_fits(js_string(value, ""), err);
}

static bool is_priority(const struct json *value, struct error *err)
{
    const int64_t n = js_int(value, 0);

    return (n >= INT32_MIN && n <= INT32_MAX) ||
           err_set(err, ERR_INVALID, "expected a whole number from %d to %d, got %" PRId64,
                   INT32_MIN, INT32_MAX, n);
}

bool api_job_matches(struct request *r, const struct job *j)
{
    const char *seen = http_header_list(r, "If-Match");
    char etag[ETAG_SIZE];

    api_job_etag(j, "", etag);
    if (!seen || etag_matches(seen, strlen(seen), etag))
        return true;
    problem_reply(r, "precondition_failed", NULL,
                  "job %s has changed since it had the ETag %.100s; it is %s now, has the priority "
                  "%" PRId64 " and the name \"%s\"",
                  j->id, seen, job_state_name(j->state), j->priority, j->name);
    return false;
}

/* False when the answer was given. */
static bool has_seen(struct request *r, const struct job *j)
{
    if (http_header(r, "If-Match"))
        return api_job_matches(r, j);
    problem_reply(r, "precondition_required", NULL,
                  "a change of job %s needs the header If-Match with its ETag", j->id);
    return false;
}

static void change(struct daemon *d, struct request *r, const struct json *body)
{
    const struct json *labels = js_get(body, "labels"), *priority = js_get(body, "priority");
    const struct job_edit e = {.name = js_string(js_get(body, "name"), NULL),
                               .labels = js_kind(labels) == JS_OBJECT ? labels : NULL,
                               .has_priority = js_kind(priority) == JS_INT,
                               .priority = js_int(priority, 0)};
    struct error err;

    if (lifecycle_edit(d, r->params[0], &e, &err))
        api_job_get(d, r);
    else
        problem_reply_error(r, &err);
}

void api_job_change(struct daemon *d, struct request *r)
{
    static const struct member members[] = {
        {"name", JS_STRING, false, is_name},
        {"labels", JS_OBJECT, false, body_is_labels},
        {"priority", JS_INT, false, is_priority},
    };
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);
    struct json *body = NULL;

    if (j && has_seen(r, j))
        body = body_read(r, "a change", members, ARRAY_LEN(members));
    job_destroy(owned);
    if (body)
        change(d, r, body);
    js_free(body);
}
