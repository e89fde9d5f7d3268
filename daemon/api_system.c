/* The daemon itself: version, session, health, figures for Prometheus. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/auth.h"
#include "daemon/hosts.h"
#include "daemon/problem.h"
#include "proto/base/file.h"
#include "proto/base/str.h"

static void reply_text(struct request *r, int status, const char *type, const char *text)
{
    http_add_header(r, "Cache-Control", "no-store");
    http_reply(r, status, type, text, strlen(text));
}

static const char plain[] = "text/plain; charset=utf-8";

void api_catalog(struct daemon *d, struct request *r)
{
    reply_json(r, 200, catalog_json(&d->catalog));
}

/* Tells the dashboard whether to ask for the library that `make web` brings. */
static bool has_charts(const struct daemon *d)
{
    char *path = str_path(d->settings.web, "vendor/uPlot.esm.js");
    bool found = file_exists(path);

    free(path);
    return found;
}

void api_version(struct daemon *d, struct request *r)
{
    struct json *j = js_new_object();

    js_set(j, "name", js_new_string("distilld"));
    js_set(j, "version", js_new_string(PACKAGE_VERSION));
    js_set(j, "api", js_new_string("v1"));
    js_set(j, "slots", js_new_int(d->settings.slots));
    js_set(j, "charts", js_new_bool(has_charts(d)));
    reply_json(r, 200, j);
}

void api_nodes(struct daemon *d, struct request *r)
{
    reply_json(r, 200, hosts_json(d));
}

void api_session(struct daemon *d, struct request *r)
{
    struct error err;
    char *cookie = auth_open_session(d, &err);

    if (!cookie) {
        problem_reply_error(r, &err);
        return;
    }
    http_add_header(r, "Set-Cookie", cookie);
    http_add_header(r, "Cache-Control", "no-store");
    http_reply(r, 204, NULL, "", 0);
    free(cookie);
}

void api_healthz(struct daemon *d, struct request *r)
{
    (void)d;
    reply_text(r, 200, plain, "ok\n");
}

/* Ready: the state can be read. */
void api_readyz(struct daemon *d, struct request *r)
{
    int64_t counts[JOB_STATE_COUNT];
    struct error err;

    if (store_job_counts(d->store, counts, &err))
        reply_text(r, 200, plain, "ready\n");
    else
        problem_reply_error(r, &err);
}

/* OpenMetrics 1.0. */
void api_metrics(struct daemon *d, struct request *r)
{
    int64_t counts[JOB_STATE_COUNT];
    struct buf b = buf_new(0);
    struct error err;

    if (!store_job_counts(d->store, counts, &err)) {
        problem_reply_error(r, &err);
        return;
    }
    buf_str(&b, "# TYPE distilld_build info\n# HELP distilld_build The program that runs.\n");
    buf_str(&b, "distilld_build_info{version=\"" PACKAGE_VERSION "\"} 1\n");
    buf_str(&b, "# TYPE distilld_start_time_seconds gauge\n# UNIT distilld_start_time_seconds "
                "seconds\n# HELP distilld_start_time_seconds When it was started.\n");
    buf_fmt(&b, "distilld_start_time_seconds %.3f\n", (double)d->started_ms / 1e3);
    buf_str(&b, "# TYPE distilld_jobs gauge\n# HELP distilld_jobs Jobs by state.\n");
    for (enum job_state s = 0; s < JOB_STATE_COUNT; s++)
        buf_fmt(&b, "distilld_jobs{state=\"%s\"} %" PRId64 "\n", job_state_name(s), counts[s]);
    buf_str(&b, "# TYPE distilld_slots gauge\n# HELP distilld_slots Cores for jobs.\n");
    buf_fmt(&b,
            "distilld_slots{use=\"held\"} %" PRId64 "\ndistilld_slots{use=\"free\"} %" PRId64 "\n",
            hosts_used(d), d->settings.slots - hosts_used(d));
    buf_str(&b, "# TYPE distilld_sse_clients gauge\n# HELP distilld_sse_clients Open event "
                "streams.\n");
    buf_fmt(&b, "distilld_sse_clients %zu\n# EOF\n", http_streams(d->http));
    reply_text(r, 200, "application/openmetrics-text; version=1.0.0; charset=utf-8", buf_text(&b));
    buf_free(&b);
}

void api_problem(struct daemon *d, struct request *r)
{
    const struct problem_kind *k = problem_find(r->params[0]);
    struct buf b = buf_new(0);

    (void)d;
    if (k) {
        buf_fmt(&b, "%s (%s, HTTP status %d)\n\n%s\n", k->title, k->code, k->status, k->text);
        reply_text(r, 200, plain, buf_text(&b));
    } else {
        problem_reply(r, "not_found", NULL, "there is no problem \"%.60s\"", r->params[0]);
    }
    buf_free(&b);
}
