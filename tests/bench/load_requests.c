/* Closed loop: a connection asks again as soon as it has its answer, so that the rate is what the daemon can do and
 * the latency is that of so many clients at a time. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/str.h"
#include "tests/bench/load.h"

enum {
    BODY_MAX = 64 << 20,
    BLOCK = 256 << 10
};

struct client {
    int fd;
    struct buf out, in;
    size_t sent;
    double began_s;
    char *page; /* of which the next request asks, or NULL */
};

struct run {
    const struct load_options *o;
    struct buf body;
    int epoll;
    double end_s;
    uint64_t asked, statuses[6];
    samples latencies;
};

static void push(struct run *r, struct client *c)
{
    ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);
    struct epoll_event e = {.data.ptr = c};

    if (n > 0)
        c->sent += (size_t)n;
    e.events = EPOLLIN | (c->sent < c->out.len ? (uint32_t)EPOLLOUT : 0);
    epoll_ctl(r->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static void ask(struct run *r, struct client *c)
{
    const struct load_options *o = r->o;
    struct buf headers = buf_new(0);
    char *path =
        c->page ? str_fmt("%s%cpage_token=%s", o->path, strchr(o->path, '?') ? '&' : '?', c->page)
                : str_dup(o->path);

    r->asked++;
    if (o->keys)
        buf_fmt(&headers, "Idempotency-Key: \"load-%d-%" PRIu64 "\"\r\n", (int)getpid(), r->asked);
    if (o->etag)
        buf_fmt(&headers, "If-None-Match: %s\r\n", o->etag);
    buf_reset(&c->out);
    buf_reset(&c->in);
    c->sent = 0;
    c->began_s = clock_mono_s();
    load_request(&c->out, o, o->method, path, buf_text(&headers), r->body.len ? &r->body : NULL);
    push(r, c);
    buf_free(&headers);
    free(path);
}

/* Length of the whole answer; 0 while its headers are not all there. */
static size_t answer_length(const struct client *c)
{
    const char *text = buf_text(&c->in), *end = strstr(text, "\r\n\r\n"), *at;
    size_t len = 0;

    if (!end)
        return 0;
    at = strcasestr(text, "\r\nContent-Length:");
    if (at && at < end && strncmp(text + 9, "304", 3) != 0)
        len = strtoul(at + strlen("\r\nContent-Length:"), NULL, 10);
    return (size_t)(end - text) + 4 + len;
}

static void note_page(struct client *c)
{
    static const char name[] = "\"next_page_token\":\"";
    const char *at = strstr(buf_text(&c->in), name);

    free(c->page);
    c->page = at ? str_ndup(at + strlen(name), strcspn(at + strlen(name), "\"")) : NULL;
}

/* False when the connection is over. */
static bool take(struct run *r, struct client *c)
{
    static char block[BLOCK];
    ssize_t n = recv(c->fd, block, sizeof(block), 0);
    size_t len;

    if (n == 0 || (n < 0 && errno != EAGAIN))
        return false;
    if (n > 0)
        buf_add(&c->in, block, (size_t)n);
    len = answer_length(c);
    if (!len || c->in.len < len)
        return true;
    vec_push(&r->latencies, clock_mono_s() - c->began_s);
    r->statuses[(unsigned)(c->in.data[9] - '0') % 6]++;
    if (r->o->pages)
        note_page(c);
    if (clock_mono_s() < r->end_s)
        ask(r, c);
    return true;
}

static void serve(struct run *r)
{
    struct epoll_event events[256];

    while (clock_mono_s() < r->end_s) {
        int n = epoll_wait(r->epoll, events, 256, 100);

        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;

            if (events[i].events & EPOLLOUT)
                push(r, c);
            if ((events[i].events & ~(uint32_t)EPOLLOUT) && !take(r, c)) {
                fprintf(stderr, "load: the daemon closed a connection\n");
                exit(1);
            }
        }
    }
}

int load_requests(const struct load_options *o)
{
    struct run r = {.o = o, .body = buf_new(BODY_MAX), .epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct client *clients = NEW_ARRAY(struct client, (size_t)o->connections);
    double began = clock_mono_s(), seconds;
    struct error err;

    if (o->body_file && !file_read(o->body_file, &r.body, &err)) {
        fprintf(stderr, "load: %s\n", err.msg);
        return 2;
    }
    r.end_s = began + o->seconds;
    for (int64_t i = 0; i < o->connections; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &clients[i]};

        clients[i] =
            (struct client){.fd = load_connect(o->address), .in = buf_new(0), .out = buf_new(0)};
        epoll_ctl(r.epoll, EPOLL_CTL_ADD, clients[i].fd, &e);
        ask(&r, &clients[i]);
    }
    serve(&r);
    seconds = clock_mono_s() - began;
    printf("{\"requests\":%zu,\"seconds\":%.2f,\"per_s\":%.0f,\"p50_ms\":%.2f,\"p99_ms\":%.2f,"
           "\"max_ms\":%.2f,\"connections\":%" PRId64 ",\"ok\":%" PRIu64 ",\"refused\":%" PRIu64
           "}\n",
           r.latencies.n, seconds, (double)r.latencies.n / seconds,
           1e3 * samples_at(&r.latencies, 0.5), 1e3 * samples_at(&r.latencies, 0.99),
           1e3 * samples_at(&r.latencies, 1), o->connections, r.statuses[2] + r.statuses[3],
           r.statuses[4] + r.statuses[5]);
    return 0;
}
