#include "tests/unit/daemon_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/hosts.h"
#include "proto/base/file.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"

void rig_open(struct daemon *d, const char *name, size_t max_events)
{
    struct error err;

    *d = (struct daemon){.settings = {.slots = 2, .web = "/no/such/folder"}};
    d->state_dir = str_path(unit_dir(), name);
    snprintf(d->token, sizeof(d->token), "dst_secret");
    ck_assert_ok(file_make_dirs(d->state_dir, 0700, &err), err);
    d->store = store_open(d->state_dir, &err);
    ck_assert_msg(d->store, "%s", err.msg);
    ck_assert_ok(hosts_open(d, &err), err);
    d->events = events_new(1, max_events, 1 << 20, NULL, NULL);
    ck_assert_int_eq(uv_loop_init(&d->loop), 0);
    uv_timer_init(&d->loop, &d->schedule);
    uv_timer_init(&d->loop, &d->heartbeat);
    d->schedule.data = d->heartbeat.data = d;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

void rig_close(struct daemon *d)
{
    hosts_close(d);
    uv_walk(&d->loop, close_handle, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&d->loop), 0);
    while (d->active.n)
        daemon_drop_active(d, d->active.at[0]);
    vec_free(&d->active);
    vec_free(&d->line);
    vec_free(&d->plans);
    vec_free(&d->projects);
    events_free(d->events);
    store_close(d->store);
    free(d->state_dir);
}

struct job *rig_job(int n)
{
    static const char text[] =
        "{\"kind\":\"train\",\"name\":\"rig\",\"data\":{\"source\":\"idx:/x\"},"
        "\"student\":{\"model\":\"resnet8\"}}";
    struct json *j = js_parse(text, strlen(text), NULL);
    struct problems p = {0};
    JobSpec *spec = job_from_json(j, &p);
    char *id = str_fmt("job_%026d", n);
    struct job *job = job_new(id, spec, 1000 + n);

    free(id);
    job_free(spec);
    js_free(j);
    problems_free(&p);
    return job;
}

struct job *rig_submit(struct daemon *d, int n)
{
    struct job *j = rig_job(n);
    struct error err;

    ck_assert_ok(store_job_add(d->store, j, &err), err);
    return daemon_add_active(d, j)->job;
}
