/* drain and resume: whether jobs start, on a host or at all. */
#include <stdlib.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/url.h"
#include "proto/base/mem.h"

struct drain {
    const char *host;
};

static bool set_queue(struct ctl *c, const char *path, struct error *err)
{
    struct json *queue = ctl_call(c, "POST", path, NULL, err);

    if (queue && c->json)
        out_json_line(queue);
    else if (queue)
        printf("%s; %lld running, %lld waiting\n",
               js_bool(js_get(queue, "paused"), false) ? "no job starts until `distillctl resume`"
                                                       : "jobs start",
               (long long)js_int(js_get(queue, "running"), 0),
               (long long)js_int(js_get(queue, "waiting"), 0));
    js_free(queue);
    return queue;
}

static bool set_host(struct ctl *c, const char *host, const char *verb, struct error *err)
{
    struct buf path = buf_new(0);
    struct json *node;

    buf_str(&path, "/api/v1/nodes/");
    url_escape(&path, host);
    buf_fmt(&path, ":%s", verb);
    node = ctl_call(c, "POST", buf_text(&path), NULL, err);
    buf_free(&path);
    if (node && c->json)
        out_json_line(node);
    else if (node)
        printf("%s is %s; %lld of its %lld slots are in use\n",
               js_string(js_get(node, "name"), "?"), js_string(js_get(node, "state"), "?"),
               (long long)js_int(js_get(node, "used"), 0),
               (long long)js_int(js_get(node, "slots"), 0));
    js_free(node);
    return node;
}

static bool drain(struct ctl *c, const void *opts, struct error *err)
{
    const struct drain *o = opts;

    return o->host ? set_host(c, o->host, "drain", err) : set_queue(c, "/api/v1/queue:pause", err);
}

static bool resume(struct ctl *c, const void *opts, struct error *err)
{
    const struct drain *o = opts;

    return o->host ? set_host(c, o->host, "resume", err)
                   : set_queue(c, "/api/v1/queue:resume", err);
}

static const struct opt drain_rows[] = {
    OPT(struct drain, host, ARG_MAYBE, "HOST",
        "only this host, as `nodes` lists it; if left out, no job starts at all"),
};

static const struct opt resume_rows[] = {
    OPT(struct drain, host, ARG_MAYBE, "HOST", "only this host; if left out, the queue"),
};

const struct command cmd_drain = {
    .name = "drain",
    .summary = "Start no more jobs, on a host or at all; those that run go on",
    .text =
        "Jobs are accepted and wait. It holds until `resume`, through restarts of the daemon.\n",
    .rows = drain_rows,
    .n_rows = ARRAY_LEN(drain_rows),
    .size = sizeof(struct drain),
    .run = drain,
};

const struct command cmd_resume = {
    .name = "resume",
    .summary = "Start jobs again after `drain`",
    .rows = resume_rows,
    .n_rows = ARRAY_LEN(resume_rows),
    .size = sizeof(struct drain),
    .run = resume,
};
