#define _GNU_SOURCE
#include "tests/unit/daemon_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/audit.h"
#include "daemon/gc.h"
#include "daemon/hosts.h"
#include "daemon/routes.h"
#include "daemon/snapshot.h"
#include "daemon/sse.h"
#include "daemon/tokens.h"
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
    d->tokens = tokens_open(d);
    d->audit = audit_open(d);
    d->purge = purge_open(d);
    d->gc = gc_open(d);
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
    tokens_close(d);
    uv_walk(&d->loop, close_handle, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&d->loop), 0);
    gc_close(d->gc);
    purge_close(d->purge);
    daemon_drop_all(d);
    snapshot_forget(d);
    events_free(d->events);
    store_close(d->store);
    audit_close(d->audit);
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

    ck_assert_ok(store_jobs_add(d->store, &j, 1, &err), err);
    return daemon_add_active(d, j)->job;
}

void rig_set_state(struct daemon *d, struct job *j, enum job_state state)
{
    j->state = state;
    daemon_note_change(d, daemon_active(d, j->id));
}

/* -- Over HTTP ------------------------------------------------------------------------------------ */

void rig_turn(struct daemon *d)
{
    for (int i = 0; i < 20; i++) {
        uv_run(&d->loop, UV_RUN_NOWAIT);
        if (i % 5 == 4)
            usleep(1000);
    }
}

bool rig_receive(int fd, struct buf *out)
{
    char block[65536];
    ssize_t n;

    while ((n = recv(fd, block, sizeof(block), MSG_DONTWAIT)) > 0)
        buf_add(out, block, (size_t)n);
    return n == 0 || errno != EAGAIN;
}

struct sockaddr_in rig_serve(struct daemon *d)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const struct http_limits limits = {.body_bytes = 1 << 20,
                                       .connections = {.header_ms = 10000, .body_ms = 30000}};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct error err;

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, len), 0);
    ck_assert_int_eq(listen(fd, 512), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    d->http = http_start(&d->loop, fd, &limits, &routes_service, d, &err);
    ck_assert_msg(d->http, "%s", err.msg);
    sse_start(d);
    return a;
}

int rig_ask(struct daemon *d, const struct sockaddr_in *a, const char *method, const char *path,
            const char *headers, const char *body, struct buf *answer)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = 0;
    char *text = str_fmt("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n"
                         "Content-Type: application/json\r\nConnection: close\r\n"
                         "Authorization: Bearer %s\r\n%s\r\n%s",
                         method, path, strlen(body), d->token, headers, body);

    buf_free(answer);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)a, sizeof(*a)), 0);
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    free(text);
    for (int i = 0; i < 500 && !rig_receive(fd, answer); i++)
        rig_turn(d);
    close(fd);
    rig_turn(d);
    sscanf(buf_text(answer), "HTTP/1.1 %d", &status);
    return status;
}

struct json *rig_json(const struct buf *answer)
{
    const char *body = strstr(buf_text(answer), "\r\n\r\n");
    struct error err;
    struct json *j = body ? js_parse(body + 4, strlen(body + 4), &err) : NULL;

    ck_assert_msg(j, "no JSON: %s", buf_text(answer));
    return j;
}

void rig_hang_up(struct daemon *d)
{
    events_on_publish(d->events, NULL, NULL);
    http_stop(d->http);
    d->http = NULL;
}
