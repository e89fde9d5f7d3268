/* What a browser waits for: the time from the submission of a job to the event at each client. The moment stands in
 * the job's name. */
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
#include "proto/base/json.h"
#include "proto/base/str.h"
#include "tests/bench/load.h"

enum {
    BODY_MAX = 1 << 20,
    BLOCK = 64 << 10,
    TAIL = 64 /* of a read, where a name may have been cut */
};

struct listener {
    int fd;
    bool ready; /* its snapshot has begun to come */
    int64_t last_ns;
    char tail[TAIL];
    size_t n_tail;
};

struct run {
    int epoll;
    int64_t ready, lost;
    samples latencies;
};

/* Times in names that this listener has not seen. */
static void scan(struct run *r, struct listener *l, const char *text, bool count)
{
    static const char mark[] = "\"name\":\"load-";
    int64_t now = clock_mono_ns();

    for (const char *at = text; (at = strstr(at, mark)); at += strlen(mark)) {
        char *end;
        int64_t ns = strtoll(at + strlen(mark), &end, 10);

        if (*end != '"' || ns <= l->last_ns)
            continue;
        l->last_ns = ns;
        if (count)
            vec_push(&r->latencies, (double)(now - ns) / 1e9);
    }
}

static void take(struct run *r, struct listener *l, bool count)
{
    static char block[TAIL + BLOCK + 1];
    ssize_t n;
    size_t len;

    memcpy(block, l->tail, l->n_tail);
    n = recv(l->fd, block + l->n_tail, BLOCK, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        epoll_ctl(r->epoll, EPOLL_CTL_DEL, l->fd, NULL);
        r->lost++;
        return;
    }
    len = l->n_tail + (size_t)n;
    block[len] = '\0';
    if (!l->ready && strstr(block, "event: snapshot")) {
        l->ready = true;
        r->ready++;
    }
    scan(r, l, block, count);
    l->n_tail = len < TAIL ? len : TAIL;
    memcpy(l->tail, block + len - l->n_tail, l->n_tail);
}

static void listen_until(struct run *r, double end_s, int64_t ready, bool count)
{
    struct epoll_event events[512];

    while (clock_mono_s() < end_s && r->ready < ready) {
        int n = epoll_wait(r->epoll, events, 512, 20);

        for (int i = 0; i < n; i++)
            take(r, events[i].data.ptr, count);
    }
}

static void submit(const struct load_options *o, int fd, struct json *job)
{
    char *name = str_fmt("load-%" PRId64, clock_mono_ns()), *text, answer[BLOCK];
    struct buf body = buf_new(0), out = buf_new(0);

    js_set(job, "name", js_new_string(name));
    text = js_text(job, JS_COMPACT);
    buf_str(&body, text);
    load_request(&out, o, "POST", "/api/v1/jobs", "", &body);
    while (recv(fd, answer, sizeof(answer), 0) > 0) {
    }
    if (send(fd, out.data, out.len, MSG_NOSIGNAL) != (ssize_t)out.len)
        fprintf(stderr, "load: a submission was not sent\n");
    buf_free(&out);
    buf_free(&body);
    free(text);
    free(name);
}

int load_stream(const struct load_options *o)
{
    struct run r = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct listener *all = NEW_ARRAY(struct listener, (size_t)o->connections);
    struct buf out = buf_new(0);
    struct error err;
    struct json *job = o->body_file ? js_read_file(o->body_file, BODY_MAX, &err) : NULL;
    int fd;
    double end;

    if (!job) {
        fprintf(stderr, "load: --body: %s\n", o->body_file ? err.msg : "is needed");
        return 2;
    }
    load_request(&out, o, "GET", "/api/v1/events", "", NULL);
    for (int64_t i = 0; i < o->connections; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &all[i]};

        all[i].fd = load_connect(o->address);
        epoll_ctl(r.epoll, EPOLL_CTL_ADD, all[i].fd, &e);
        send(all[i].fd, out.data, out.len, MSG_NOSIGNAL);
        if (i % 64 == 63)
            listen_until(&r, clock_mono_s() + 5, i, false);
    }
    listen_until(&r, clock_mono_s() + 30, o->connections, false);
    printf("{\"ready\":%" PRId64 "}\n",
           r.ready); /* whoever reads this may look at the daemon now */
    fflush(stdout);
    fd = load_connect(o->address);
    end = clock_mono_s() + o->seconds;
    while (clock_mono_s() < end) {
        submit(o, fd, job);
        listen_until(&r, clock_mono_s() + 1, INT64_MAX, true);
    }
    printf("{\"clients\":%" PRId64 ",\"ready\":%" PRId64 ",\"lost\":%" PRId64
           ",\"deliveries\":%zu,\"p50_ms\":%.1f,\"p99_ms\":%.1f,\"max_ms\":%.1f}\n",
           o->connections, r.ready, r.lost, r.latencies.n, 1e3 * samples_at(&r.latencies, 0.5),
           1e3 * samples_at(&r.latencies, 0.99), 1e3 * samples_at(&r.latencies, 1));
    return 0;
}

int load_slow(const struct load_options *o)
{
    static const char head[] = "GET /api/v1/jobs HTTP/1.1\r\nHost: ";
    int *fds = NEW_ARRAY(int, (size_t)o->connections);
    double end = clock_mono_s() + o->seconds;

    for (int64_t i = 0; i < o->connections; i++) {
        fds[i] = load_connect(o->address);
        send(fds[i], head, strlen(head), MSG_NOSIGNAL);
    }
    printf("{\"connections\":%" PRId64 "}\n", o->connections);
    fflush(stdout);
    while (clock_mono_s() < end) {
        for (int64_t i = 0; i < o->connections; i++)
            if (send(fds[i], "a", 1, MSG_NOSIGNAL) < 0) {
                close(fds[i]); /* cut off: another one takes its place */
                fds[i] = load_connect(o->address);
                send(fds[i], head, strlen(head), MSG_NOSIGNAL);
            }
        usleep(1000000);
    }
    return 0;
}
