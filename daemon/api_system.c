/* The daemon itself: version, description, session, health. */
#include <stdlib.h>
#include <string.h>

#include "daemon/abilities.h"
#include "daemon/api.h"
#include "daemon/auth.h"
#include "daemon/problem.h"
#include "proto/base/file.h"
#include "proto/base/str.h"

static const char plain[] = "text/plain; charset=utf-8";

static void reply_catalog(struct daemon *d, struct request *r)
{
    reply_json(r, 200, catalog_json(&d->catalog));
}

void api_catalog(struct daemon *d, struct request *r)
{
    abilities_then(d, r, reply_catalog);
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

/* cookie NULL: with err. */
static void reply_cookie(struct request *r, char *take_cookie, const struct error *err)
{
    if (!take_cookie) {
        problem_reply_error(r, err);
        return;
    }
    http_add_header(r, "Set-Cookie", take_cookie);
    http_add_header(r, "Cache-Control", "no-store");
    http_reply(r, 204, NULL, "", 0);
    free(take_cookie);
}

void api_session(struct daemon *d, struct request *r)
{
    struct error err;
    char *cookie = auth_open_session(d, r, &err);

    reply_cookie(r, cookie, &err);
}

void api_session_end(struct daemon *d, struct request *r)
{
    struct error err;
    char *cookie = auth_end_session(d, r, &err);

    reply_cookie(r, cookie, &err);
}

void api_healthz(struct daemon *d, struct request *r)
{
    (void)d;
    reply_text(r, plain, "ok\n");
}

/* Ready: the state can be read and written. */
void api_readyz(struct daemon *d, struct request *r)
{
    int64_t counts[JOB_STATE_COUNT];
    struct error err;

    if (!store_trouble(d->store, &err) && store_job_counts(d->store, counts, &err))
        reply_text(r, plain, d->paused ? "ready; the queue is paused\n" : "ready\n");
    else
        problem_reply_error(r, &err);
}

void api_problem(struct daemon *d, struct request *r)
{
    const struct problem_kind *k = problem_find(r->params[0]);
    struct buf b = buf_new(0);

    (void)d;
    if (k) {
        buf_fmt(&b, "%s (%s, HTTP status %d)\n\n%s\n", k->title, k->code, k->status, k->text);
        reply_text(r, plain, buf_text(&b));
    } else {
        problem_reply(r, "not_found", NULL, "there is no problem \"%.60s\"", r->params[0]);
    }
    buf_free(&b);
}
