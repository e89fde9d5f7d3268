#include "daemon/inputs.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/body.h"
#include "daemon/problem.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

typedef void (*handler)(struct daemon *d, struct request *r);

#define PAGE "page_size page_token"

static const struct {
    handler handle;
    const char *names;
} parameters[] = {
    {api_job_submit, "validate_only"},
    {api_job_batch, "validate_only"},
    {api_job_list,
     "sweep state kind name project owner label q created_after created_before order_by " PAGE},
    {api_job_summary, "figure* first"},
    {api_job_series, "name* from to max_points x agg"},
    {api_job_logs, "rank tail from since grep"},
    {api_queue, PAGE},
    {api_model_list, "name kind " PAGE},
    {api_dataset_list, PAGE},
    {api_webhook_list, PAGE},
    {api_webhook_deliveries, PAGE},
    {api_token_list, PAGE},
    {api_audit, "after " PAGE},
    {api_events, "job* after kinds"},
    {api_healthz, INPUTS_ANY},
    {api_readyz, INPUTS_ANY},
    {api_metrics, INPUTS_ANY},
    {api_web, INPUTS_ANY},
    {api_web_vendor, INPUTS_ANY},
};

static const handler with_body[] = {
    api_job_submit,  api_job_batch,      api_job_cancel,     api_job_change,        api_job_clone,
    api_job_resize,  api_upload_create,  api_upload_append,  api_model_add,         api_dataset_add,
    api_webhook_add, api_webhook_change, api_queue_simulate, api_project_put,       api_gc_plan,
    api_gc_run,      api_token_create,   api_token_rotate,   api_checkpoint_change,
};

const char *inputs_parameters(const struct route *route)
{
    for (size_t i = 0; i < ARRAY_LEN(parameters); i++)
        if (parameters[i].handle == route->handle)
            return parameters[i].names;
    return "";
}

bool inputs_have_body(const struct route *route)
{
    for (size_t i = 0; i < ARRAY_LEN(with_body); i++)
        if (with_body[i] == route->handle)
            return true;
    return false;
}

/* -- Parameters ---------------------------------------------------------------------------------------- */

struct look {
    const char *names;
    uint64_t seen; /* of them, by place */
    char *wrong;   /* what is, first; NULL: nothing */
};

/* Its place among the names, and whether it may be given again; -1: it is none of them. */
static int find(const char *names, const char *name, bool *again)
{
    const size_t len = strlen(name);
    int at = 0;

    for (; *names; names += strspn(names, " "), at++) {
        const size_t n = strcspn(names, " *");

        *again = names[n] == '*';
        if (n == len && strncmp(names, name, n) == 0)
            return at;
        names += n + *again;
    }
    return -1;
}

/* "a, b, c" */
static char *listed(const char *names)
{
    struct buf b = buf_new(0);

    for (; *names; names += strspn(names, " *")) {
        const size_t n = strcspn(names, " *");

        buf_fmt(&b, "%s%.*s", b.len ? ", " : "", (int)n, names);
        names += n;
    }
    return buf_take(&b);
}

static char *say_unknown(const char *name, const char *names)
{
    char *known = listed(names), *text;

    text = *known ? str_fmt("%.60s: there is no such parameter here; there are: %s", name, known)
                  : str_fmt("%.60s: there is no such parameter; none is taken here", name);
    free(known);
    return text;
}

static void look_at(const char *name, void *arg)
{
    struct look *l = arg;
    bool again;
    int at;

    if (l->wrong || !*name) /* "?&a=b" */
        return;
    at = find(l->names, name, &again);
    if (at < 0)
        l->wrong = say_unknown(name, l->names);
    else if (!again && (l->seen >> at & 1))
        l->wrong = str_fmt("%s: expected once, got it more than once", name);
    else
        l->seen |= UINT64_C(1) << at;
}

bool inputs_check_parameters(struct request *r, const struct route *route)
{
    struct look l = {.names = inputs_parameters(route)};

    if (strcmp(l.names, INPUTS_ANY) == 0)
        return true;
    http_each_query(r, look_at, &l);
    if (!l.wrong)
        return true;
    problem_reply(r, "bad_request", NULL, "%s", l.wrong);
    free(l.wrong);
    return false;
}

/* -- The body ------------------------------------------------------------------------------------------ */

bool inputs_check_body(struct request *r, const struct route *route)
{
    struct json *body;

    if (!r->body.len || strcmp(route->method, "GET") == 0 || inputs_have_body(route))
        return true;
    body = body_read(r, "a request without members of its own", NULL, 0);
    js_free(body);
    return body != NULL;
}
