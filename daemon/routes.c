#include "daemon/routes.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/problem.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

const struct route routes[] = {
    {"POST", "/api/v1/jobs", ACCESS_WRITE, api_job_submit},
    {"GET", "/api/v1/jobs", ACCESS_READ, api_job_list},
    {"GET", "/api/v1/jobs/{id}", ACCESS_READ, api_job_get},
    {"POST", "/api/v1/jobs/{id}:cancel", ACCESS_WRITE, api_job_cancel},
    {"POST", "/api/v1/jobs/{id}:retry", ACCESS_WRITE, api_job_retry},
    {"POST", "/api/v1/jobs/{id}:hold", ACCESS_WRITE, api_job_hold},
    {"POST", "/api/v1/jobs/{id}:release", ACCESS_WRITE, api_job_release},
    {"POST", "/api/v1/jobs/{id}:resize", ACCESS_WRITE, api_job_resize},
    {"GET", "/api/v1/jobs/{id}/summary", ACCESS_READ, api_job_summary},
    {"GET", "/api/v1/jobs/{id}/attempts", ACCESS_READ, api_job_attempts},
    {"GET", "/api/v1/jobs/{id}/events", ACCESS_READ, api_job_events},
    {"GET", "/api/v1/jobs/{id}/metrics/series", ACCESS_READ, api_job_series},
    {"GET", "/api/v1/jobs/{id}/logs", ACCESS_READ, api_job_logs},
    {"GET", "/api/v1/jobs/{id}/artifacts", ACCESS_READ, api_job_artifacts},
    {"GET", "/api/v1/jobs/{id}/artifacts/{name}", ACCESS_READ, api_job_artifact},
    {"POST", "/api/v1/uploads", ACCESS_WRITE, api_upload_create},
    {"GET", "/api/v1/uploads/{id}", ACCESS_READ, api_upload_get},
    {"PATCH", "/api/v1/uploads/{id}", ACCESS_WRITE, api_upload_append},
    {"DELETE", "/api/v1/uploads/{id}", ACCESS_WRITE, api_upload_delete},
    {"GET", "/api/v1/models", ACCESS_READ, api_model_list},
    {"POST", "/api/v1/models", ACCESS_WRITE, api_model_add},
    {"GET", "/api/v1/models/{name}", ACCESS_READ, api_model_get},
    {"GET", "/api/v1/models/{name}/versions/{version}", ACCESS_READ, api_model_version},
    {"DELETE", "/api/v1/models/{name}/versions/{version}", ACCESS_WRITE, api_model_delete},
    {"GET", "/api/v1/models/{name}/versions/{version}/file", ACCESS_READ, api_model_file},
    {"GET", "/api/v1/models/{name}/versions/{version}/lineage", ACCESS_READ, api_model_lineage},
    {"GET", "/api/v1/datasets", ACCESS_READ, api_dataset_list},
    {"POST", "/api/v1/datasets", ACCESS_WRITE, api_dataset_add},
    {"GET", "/api/v1/datasets/{name}", ACCESS_READ, api_dataset_get},
    {"DELETE", "/api/v1/datasets/{name}", ACCESS_WRITE, api_dataset_delete},
    {"GET", "/api/v1/queue", ACCESS_READ, api_queue},
    {"POST", "/api/v1/queue:pause", ACCESS_WRITE, api_queue_pause},
    {"POST", "/api/v1/queue:resume", ACCESS_WRITE, api_queue_resume},
    {"GET", "/api/v1/projects", ACCESS_READ, api_project_list},
    {"GET", "/api/v1/projects/{name}", ACCESS_READ, api_project_get},
    {"PUT", "/api/v1/projects/{name}", ACCESS_WRITE, api_project_put},
    {"GET", "/api/v1/events", ACCESS_READ, api_events},
    {"GET", "/api/v1/catalog", ACCESS_READ, api_catalog},
    {"GET", "/api/v1/nodes", ACCESS_READ, api_nodes},
    {"GET", "/api/v1/version", ACCESS_READ, api_version},
    {"POST", "/api/v1/session", ACCESS_TOKEN, api_session},
    {"GET", "/healthz", ACCESS_PUBLIC, api_healthz},
    {"GET", "/readyz", ACCESS_PUBLIC, api_readyz},
    {"GET", "/metrics", ACCESS_READ, api_metrics},
    {"GET", "/api/v1/openapi.yaml", ACCESS_READ, api_openapi},
    {"GET", "/problems/{code}", ACCESS_PUBLIC, api_problem},
    {"GET", "/", ACCESS_PUBLIC, api_web},
    {"GET", "/{file}", ACCESS_PUBLIC, api_web},
    {"GET", "/vendor/{file}", ACCESS_PUBLIC, api_web_vendor},
};
const size_t n_routes = ARRAY_LEN(routes);

/* Those whose body is not kept in memory, and what takes it (http_service.begin). */
static const struct {
    void (*handle)(struct daemon *d, struct request *r);
    void (*begin)(struct daemon *d, struct request *r);
} takers[] = {{api_upload_append, api_upload_begin}};

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
            decode(r))
            takers[i].begin(daemon, r);
    clear(r->params);
    buf_free(&allow);
}

static void dispatch(struct request *r, void *daemon)
{
    struct buf allow = buf_new(0);
    const struct route *route = find(r, &allow);
    struct error err;

    if (r->refusal && strcmp(r->refusal, "too_large") != 0) {
        problem_reply(r, r->refusal, NULL, "%s", r->refusal_text);
    } else if (!auth_check(daemon, r, route ? route->access : ACCESS_READ, &err)) {
        if (err.code == ERR_UNAUTHORIZED)
            http_add_header(r, "WWW-Authenticate", "Bearer");
        problem_reply_error(r, &err);
    } else if (!route) {
        refuse(r, buf_text(&allow));
    } else if (r->refusal) {
        problem_reply(r, r->refusal, NULL, "%s", r->refusal_text);
    } else if (!decode(r)) {
        problem_reply(r, "bad_request", NULL, "the address has a broken percent-escape: %.300s",
                      r->path);
    } else {
        route->handle(daemon, r);
    }
    buf_free(&allow);
}

const struct http_service routes_service = {begin, dispatch};
