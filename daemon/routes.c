#include "daemon/routes.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/audit.h"
#include "daemon/inputs.h"
#include "daemon/limits.h"
#include "daemon/problem.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

const struct route routes[] = {
    {"POST", "/api/v1/jobs", ACCESS_SUBMIT, REACH_OWN, api_job_submit, 202},
    {"POST", "/api/v1/jobs:batch", ACCESS_SUBMIT, REACH_OWN, api_job_batch, 202},
    {"GET", "/api/v1/jobs", ACCESS_READ, REACH_OWN, api_job_list, 0},
    {"GET", "/api/v1/jobs/{id}", ACCESS_READ, REACH_JOB, api_job_get, 0},
    {"PATCH", "/api/v1/jobs/{id}", ACCESS_SUBMIT, REACH_JOB, api_job_change, 200},
    {"DELETE", "/api/v1/jobs/{id}", ACCESS_OPERATE, REACH_JOB, api_job_delete, 202},
    {"POST", "/api/v1/jobs/{id}:cancel", ACCESS_SUBMIT, REACH_JOB, api_job_cancel, 202},
    {"POST", "/api/v1/jobs/{id}:retry", ACCESS_SUBMIT, REACH_JOB, api_job_retry, 202},
    {"POST", "/api/v1/jobs/{id}:hold", ACCESS_SUBMIT, REACH_JOB, api_job_hold, 202},
    {"POST", "/api/v1/jobs/{id}:release", ACCESS_SUBMIT, REACH_JOB, api_job_release, 202},
    {"POST", "/api/v1/jobs/{id}:preempt", ACCESS_OPERATE, REACH_JOB, api_job_preempt, 202},
    {"POST", "/api/v1/jobs/{id}:checkpoint", ACCESS_SUBMIT, REACH_JOB, api_job_checkpoint, 202},
    {"POST", "/api/v1/jobs/{id}:clone", ACCESS_SUBMIT, REACH_JOB, api_job_clone, 202},
    {"POST", "/api/v1/jobs/{id}:resize", ACCESS_SUBMIT, REACH_JOB, api_job_resize, 202},
    {"GET", "/api/v1/jobs/{id}/summary", ACCESS_READ, REACH_JOB, api_job_summary, 0},
    {"GET", "/api/v1/jobs/{id}/spec", ACCESS_READ, REACH_JOB, api_job_spec, 0},
    {"GET", "/api/v1/jobs/{id}/spec/normalized", ACCESS_READ, REACH_JOB, api_job_normalized, 0},
    {"GET", "/api/v1/jobs/{id}/record", ACCESS_READ, REACH_JOB, api_job_record, 0},
    {"GET", "/api/v1/jobs/{id}/attempts", ACCESS_READ, REACH_JOB, api_job_attempts, 0},
    {"GET", "/api/v1/jobs/{id}/attempts/{attempt}", ACCESS_READ, REACH_JOB, api_job_attempt, 0},
    {"GET", "/api/v1/jobs/{id}/events", ACCESS_READ, REACH_JOB, api_job_events, 0},
    {"GET", "/api/v1/jobs/{id}/metrics", ACCESS_READ, REACH_JOB, api_job_metrics, 0},
    {"GET", "/api/v1/jobs/{id}/metrics/series", ACCESS_READ, REACH_JOB, api_job_series, 0},
    {"GET", "/api/v1/jobs/{id}/logs", ACCESS_READ, REACH_JOB, api_job_logs, 0},
    {"GET", "/api/v1/jobs/{id}/checkpoints", ACCESS_READ, REACH_JOB, api_checkpoint_list, 0},
    {"GET", "/api/v1/jobs/{id}/checkpoints/{name}", ACCESS_READ, REACH_JOB, api_checkpoint_get, 0},
    {"PATCH", "/api/v1/jobs/{id}/checkpoints/{name}", ACCESS_SUBMIT, REACH_JOB,
     api_checkpoint_change, 200},
    {"DELETE", "/api/v1/jobs/{id}/checkpoints/{name}", ACCESS_OPERATE, REACH_JOB,
     api_checkpoint_delete, 204},
    {"GET", "/api/v1/jobs/{id}/artifacts", ACCESS_READ, REACH_JOB, api_job_artifacts, 0},
    {"GET", "/api/v1/jobs/{id}/artifacts/{name}", ACCESS_READ, REACH_JOB, api_job_artifact, 0},
    {"POST", "/api/v1/uploads", ACCESS_SUBMIT, REACH_SHARED, api_upload_create, 201},
    {"GET", "/api/v1/uploads/{id}", ACCESS_READ, REACH_SHARED, api_upload_get, 0},
    {"PATCH", "/api/v1/uploads/{id}", ACCESS_SUBMIT, REACH_SHARED, api_upload_append, 204},
    {"DELETE", "/api/v1/uploads/{id}", ACCESS_SUBMIT, REACH_SHARED, api_upload_delete, 204},
    {"GET", "/api/v1/models", ACCESS_READ, REACH_SHARED, api_model_list, 0},
    {"POST", "/api/v1/models", ACCESS_SUBMIT, REACH_SHARED, api_model_add, 201},
    {"GET", "/api/v1/models/{name}", ACCESS_READ, REACH_SHARED, api_model_get, 0},
    {"GET", "/api/v1/models/{name}/versions/{version}", ACCESS_READ, REACH_SHARED,
     api_model_version, 0},
    {"DELETE", "/api/v1/models/{name}/versions/{version}", ACCESS_OPERATE, REACH_ALL,
     api_model_delete, 204},
    {"GET", "/api/v1/models/{name}/versions/{version}/file", ACCESS_READ, REACH_SHARED,
     api_model_file, 0},
    {"GET", "/api/v1/models/{name}/versions/{version}/lineage", ACCESS_READ, REACH_SHARED,
     api_model_lineage, 0},
    {"GET", "/api/v1/datasets", ACCESS_READ, REACH_SHARED, api_dataset_list, 0},
    {"POST", "/api/v1/datasets", ACCESS_SUBMIT, REACH_SHARED, api_dataset_add, 201},
    {"GET", "/api/v1/datasets/{name}", ACCESS_READ, REACH_SHARED, api_dataset_get, 0},
    {"DELETE", "/api/v1/datasets/{name}", ACCESS_OPERATE, REACH_ALL, api_dataset_delete, 204},
    {"GET", "/api/v1/webhooks", ACCESS_OPERATE, REACH_OWN, api_webhook_list, 0},
    {"POST", "/api/v1/webhooks", ACCESS_OPERATE, REACH_OWN, api_webhook_add, 201},
    {"GET", "/api/v1/webhooks/{webhook}", ACCESS_OPERATE, REACH_WEBHOOK, api_webhook_get, 0},
    {"PATCH", "/api/v1/webhooks/{webhook}", ACCESS_OPERATE, REACH_WEBHOOK, api_webhook_change, 200},
    {"DELETE", "/api/v1/webhooks/{webhook}", ACCESS_OPERATE, REACH_WEBHOOK, api_webhook_delete,
     204},
    {"POST", "/api/v1/webhooks/{webhook}:test", ACCESS_OPERATE, REACH_WEBHOOK, api_webhook_test,
     202},
    {"GET", "/api/v1/webhooks/{webhook}/deliveries", ACCESS_OPERATE, REACH_WEBHOOK,
     api_webhook_deliveries, 0},
    {"POST", "/api/v1/webhooks/{webhook}/deliveries/{delivery}:redeliver", ACCESS_OPERATE,
     REACH_WEBHOOK, api_webhook_redeliver, 202},
    {"GET", "/api/v1/queue", ACCESS_READ, REACH_OWN, api_queue, 0},
    {"POST", "/api/v1/queue:simulate", ACCESS_SUBMIT, REACH_OWN, api_queue_simulate, 200},
    {"POST", "/api/v1/queue:pause", ACCESS_OPERATE, REACH_ALL, api_queue_pause, 200},
    {"POST", "/api/v1/queue:resume", ACCESS_OPERATE, REACH_ALL, api_queue_resume, 200},
    {"GET", "/api/v1/projects", ACCESS_READ, REACH_OWN, api_project_list, 0},
    {"GET", "/api/v1/projects/{name}", ACCESS_READ, REACH_PROJECT, api_project_get, 0},
    {"PUT", "/api/v1/projects/{name}", ACCESS_OPERATE, REACH_ALL, api_project_put, 200},
    {"GET", "/api/v1/events", ACCESS_READ, REACH_OWN, api_events, 0},
    {"POST", "/api/v1/admin:backup", ACCESS_ADMIN, REACH_ALL, api_backup, 200},
    {"POST", "/api/v1/gc:plan", ACCESS_ADMIN, REACH_ALL, api_gc_plan, 200},
    {"POST", "/api/v1/gc:run", ACCESS_ADMIN, REACH_ALL, api_gc_run, 200},
    {"GET", "/api/v1/catalog", ACCESS_READ, REACH_SHARED, api_catalog, 0},
    {"GET", "/api/v1/nodes", ACCESS_READ, REACH_SHARED, api_nodes, 0},
    {"GET", "/api/v1/nodes/{name}", ACCESS_READ, REACH_SHARED, api_node_get, 0},
    {"POST", "/api/v1/nodes/{name}:drain", ACCESS_OPERATE, REACH_ALL, api_node_drain, 200},
    {"POST", "/api/v1/nodes/{name}:resume", ACCESS_OPERATE, REACH_ALL, api_node_resume, 200},
    {"GET", "/api/v1/version", ACCESS_READ, REACH_SHARED, api_version, 0},
    {"POST", "/api/v1/session", ACCESS_TOKEN, REACH_SHARED, api_session, 204},
    {"DELETE", "/api/v1/session", ACCESS_READ, REACH_SHARED, api_session_end, 204},
    {"GET", "/api/v1/tokens", ACCESS_ADMIN, REACH_ALL, api_token_list, 0},
    {"POST", "/api/v1/tokens", ACCESS_ADMIN, REACH_ALL, api_token_create, 201},
    {"GET", "/api/v1/tokens/{id}", ACCESS_ADMIN, REACH_ALL, api_token_get, 0},
    {"DELETE", "/api/v1/tokens/{id}", ACCESS_ADMIN, REACH_ALL, api_token_revoke, 204},
    {"POST", "/api/v1/tokens/{id}:rotate", ACCESS_ADMIN, REACH_ALL, api_token_rotate, 200},
    {"GET", "/api/v1/audit", ACCESS_ADMIN, REACH_ALL, api_audit, 0},
    {"GET", "/healthz", ACCESS_PUBLIC, REACH_SHARED, api_healthz, 0},
    {"GET", "/readyz", ACCESS_PUBLIC, REACH_SHARED, api_readyz, 0},
    {"GET", "/metrics", ACCESS_READ, REACH_ALL, api_metrics, 0},
    {"GET", "/api/v1/openapi.yaml", ACCESS_READ, REACH_SHARED, api_openapi, 0},
    {"GET", "/api/v1/openapi.json", ACCESS_READ, REACH_SHARED, api_openapi_json, 0},
    {"GET", "/openapi.json", ACCESS_READ, REACH_SHARED, api_openapi_json, 0},
    {"GET", "/api/v1/schema/job.json", ACCESS_READ, REACH_SHARED, api_job_schema, 0},
    {"GET", "/problems/{code}", ACCESS_PUBLIC, REACH_SHARED, api_problem, 0},
    {"GET", "/", ACCESS_PUBLIC, REACH_SHARED, api_web, 0},
    {"GET", "/{file}", ACCESS_PUBLIC, REACH_SHARED, api_web, 0},
    {"GET", "/vendor/{file}", ACCESS_PUBLIC, REACH_SHARED, api_web_vendor, 0},
};
const size_t n_routes = ARRAY_LEN(routes);

/* Those that do something before the body comes (http_service.begin). */
static const struct {
    void (*handle)(struct daemon *d, struct request *r);
    void (*begin)(struct daemon *d, struct request *r);
} takers[] = {{api_upload_append, api_upload_begin}, {api_job_batch, api_batch_begin}};

static void clear(char *params[HTTP_PARAMS])
{
    for (size_t i = 0; i < HTTP_PARAMS; i++) {
        free(params[i]);
        params[i] = NULL;
    }
}

bool routes_match(const char *pattern, const char *path, char *params[HTTP_PARAMS])
{
    size_t n = 0;

    while (*pattern) {
        if (*pattern == '{') {
            size_t len = strcspn(path, "/:");

            pattern = strchr(pattern, '}') + 1;
            if (len == 0) {
                clear(params);
                return false;
            }
            ASSERT(n < HTTP_PARAMS);
            params[n++] = str_ndup(path, len);
            path += len;
        } else if (*pattern++ != *path++) {
            clear(params);
            return false;
        }
    }
    if (!*pattern && !*path)
        return true;
    clear(params);
    return false;
}

/* HEAD is a GET whose body is left out. */
static bool same_method(const struct route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

static void add_method(struct buf *allow, const char *method)
{
    if (!strstr(buf_text(allow), method))
        buf_fmt(allow, "%s%s", allow->len ? ", " : "", method);
}

/* The route, or NULL; `allow` lists the methods of the routes that have the path. */
static const struct route *find(struct request *r, struct buf *allow)
{
    for (size_t i = 0; i < n_routes; i++) {
        if (!routes_match(routes[i].pattern, r->path, r->params))
            continue;
        if (same_method(&routes[i], r->method))
            return &routes[i];
        clear(r->params);
        add_method(allow, routes[i].method);
    }
    return NULL;
}

static void refuse(struct request *r, const char *allow)
{
    if (!*allow) {
        problem_reply(r, "not_found", NULL, "there is nothing under %.300s", r->path);
        return;
    }
    http_add_header(r, "Allow", allow);
    problem_reply(r, "method_not_allowed", NULL, "%.300s takes %s, not %s", r->path, allow,
                  r->method);
}

static bool decode(struct request *r)
{
    for (size_t i = 0; i < HTTP_PARAMS; i++)
        if (r->params[i] && !http_decode(r->params[i]))
            return false;
    return true;
}

/* Whoever may not do what the route does is refused when the body is over, as elsewhere. */
static void begin(struct request *r, void *daemon)
{
    struct buf allow = buf_new(0);
    const struct route *route = find(r, &allow);
    struct error err;

    for (size_t i = 0; route && i < ARRAY_LEN(takers); i++)
        if (takers[i].handle == route->handle && auth_check(daemon, r, route->access, &err) &&
            decode(r) && inputs_check_parameters(r, route))
            takers[i].begin(daemon, r);
    clear(r->params);
    buf_free(&allow);
}

static void carry_out(struct daemon *d, struct request *r, const struct route *route)
{
    r->done = route->done;
    audit_begin(d, r, r->done);
    route->handle(d, r);
    audit_end(d, r);
}

static void resume(struct request *r, void *daemon, void (*then)(struct request *r, void *arg),
                   void *then_arg)
{
    audit_begin(daemon, r, r->done);
    then(r, then_arg);
    audit_end(daemon, r);
}

static void refuse_access(struct daemon *d, struct request *r, const struct error *err)
{
    if (err->code == ERR_UNAUTHORIZED) {
        limits_note_failure(d, r);
        http_add_header(r, "WWW-Authenticate", "Bearer");
    }
    if (err->code == ERR_FORBIDDEN)
        audit_refusal(d, r, err_http_status(err->code));
    problem_reply_error(r, err);
}

static void take_trace(struct request *r)
{
    char parent[TRACE_SIZE];

    trace_parse(http_header(r, "traceparent"), parent);
    trace_below(parent, r->trace);
}

static void dispatch(struct request *r, void *daemon)
{
    struct buf allow = buf_new(0);
    const struct route *route = find(r, &allow);
    struct error err;

    take_trace(r);

    if (r->refusal && strcmp(r->refusal, "too_large") != 0) {
        problem_reply(r, r->refusal, NULL, "%s", r->refusal_text);
    } else if (!limits_admit_address(daemon, r)) {
        /* it has its answer */
    } else if (!auth_check(daemon, r, route ? route->access : ACCESS_READ, &err)) {
        refuse_access(daemon, r, &err);
    } else if (!limits_admit_caller(daemon, r)) {
        /* the same */
    } else if (!route) {
        refuse(r, buf_text(&allow));
    } else if (r->refusal) {
        problem_reply(r, r->refusal, NULL, "%s", r->refusal_text);
    } else if (!decode(r)) {
        problem_reply(r, "bad_request", NULL, "the address has a broken percent-escape: %.300s",
                      r->path);
    } else if (!reach_check(daemon, r, route->reach, &err)) {
        refuse_access(daemon, r, &err);
    } else if (!inputs_check_parameters(r, route) || !inputs_check_body(r, route)) {
        /* the same */
    } else {
        carry_out(daemon, r, route);
    }
    buf_free(&allow);
}

const struct http_service routes_service = {begin, dispatch, resume};
