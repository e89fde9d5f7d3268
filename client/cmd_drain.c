/* drain and resume: whether jobs start. */
#include "client/cmd.h"
#include "client/ctl.h"

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

static bool drain(struct ctl *c, const void *opts, struct error *err)
{
    (void)opts;
    return set_queue(c, "/api/v1/queue:pause", err);
}

static bool resume(struct ctl *c, const void *opts, struct error *err)
{
    (void)opts;
    return set_queue(c, "/api/v1/queue:resume", err);
}

const struct command cmd_drain = {
    .name = "drain",
    .summary = "Start no more jobs; those that run go on",
    .text =
        "Jobs are accepted and wait. It holds until `resume`, through restarts of the daemon.\n",
    .run = drain,
};

const struct command cmd_resume = {
    .name = "resume",
    .summary = "Start jobs again after `drain`",
    .run = resume,
};
