#define _GNU_SOURCE
#include "daemon/http.h"

#include <inttypes.h>
#include <linux/sockios.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"

enum {
    CONNECTIONS = 4096,
    POOL =
        20 << 10, /* bytes a connection, half of which each costs: headers and address must fit */
    STREAM_BLOCK = 4096,
    TURNS = 4,        /* of MHD_run in one turn of the loop, which others share */
    SWEEP_MS = 1000,  /* between looks for connections that are late */
    PARTING_MS = 2000 /* for answers that are under way when the server stops */
};

/* Of a body that is too large so much is taken and dropped, so that the answer can be given: a peer that
 * is cut off in the middle of sending would not see it. */
static const uint64_t dropped_max = UINT64_C(64) << 20;

struct http {
    struct MHD_Daemon *mhd;
    uv_poll_t poll;
    uv_timer_t timer, sweep;
    uv_async_t wake;
    int open_handles;
    unsigned idle_spins;
    bool stopping;
    const struct http_service *service;
    void *arg;
    size_t body_bytes;
    struct conns conns;
    struct http_stream *streams;
    size_t n_streams;
    size_t n_answers; /* given, but not sent to the end */
    size_t n_working;
};

/* An answer that goes on. */
struct http_stream {
    struct http *http;
    struct http_stream *next, **link;
    struct MHD_Connection *connection;
    bool suspended;
    const struct http_stream_ops *ops;
    void *arg;
};

/* What the request needs of libmicrohttpd. */
struct http_exchange {
    struct http *http;
    struct MHD_Connection *connection;
    struct conn *conn;
    struct request request;
    enum MHD_Result queued;
    int64_t began_ns;
    uv_work_t work;
    void (*run)(void *arg); /* what is being done elsewhere; NULL: nothing */
    void (*then)(struct request *r, void *arg);
    void *run_arg;
    VEC(char *) texts;   /* decoded parameters */
    VEC(char *) headers; /* names and values to send, in turn */
};

/* -- The loop ---------------------------------------------------------------------------------- */

static void pump(struct http *h);

static void on_timer(uv_timer_t *t)
{
    pump(t->data);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    pump(p->data);
}

static void pump(struct http *h)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;

    for (int i = 0; i < TURNS; i++) {
        MHD_run(h->mhd);
        if (MHD_get_timeout(h->mhd, &ms) != MHD_YES) {
            h->idle_spins = 0;
            uv_timer_stop(&h->timer);
            return;
        }
        if (ms)
            break;
    }
    /* A timeout of 0 means that connections are ready. libmicrohttpd 0.9.75 can say so for ever of one
     * that waits for its peer; a pause of 1 ms keeps that from taking a core. */
    h->idle_spins = ms ? 0 : h->idle_spins + 1;
    if (h->idle_spins > TURNS)
        ms = 1;
    uv_timer_start(&h->timer, on_timer, ms, 0);
}

static void resume_streams(struct http *h)
{
    for (struct http_stream *s = h->streams; s; s = s->next)
        if (s->suspended) {
            s->suspended = false;
            MHD_resume_connection(s->connection);
        }
}

static void on_wake(uv_async_t *a)
{
    struct http *h = a->data;

    if (h->stopping)
        return;
    resume_streams(h);
    pump(h);
}

void http_wake(struct http *h)
{
    if (h && !h->stopping)
        uv_async_send(&h->wake);
}

size_t http_streams(const struct http *h)
{
    return h ? h->n_streams : 0;
}

/* -- Connections ------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    return clock_mono_ns() / 1000000;
}

static struct conn *conn_of(struct MHD_Connection *c)
{
    return MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static enum MHD_Result on_accept(void *arg, const struct sockaddr *peer, socklen_t len)
{
    struct http *h = arg;

    (void)len;
    return conns_admit(&h->conns, peer) ? MHD_YES : MHD_NO;
}

static void on_connection(void *arg, struct MHD_Connection *c, void **conn,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *h = arg;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        int fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;

        *conn = conns_add(
            &h->conns, fd,
            MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr, now_ms());
    } else {
        conns_remove(*conn);
        *conn = NULL;
    }
}

/* Past libmicrohttpd, which cannot answer before a request is complete: nothing else is on its way to
 * this peer, or its step would be another. */
static void refuse_late(const struct conn *n)
{
    static const char body[] =
        "{\"type\":\"/problems/request_timeout\",\"title\":\"Too slow\",\"status\":408,"
        "\"detail\":\"the request did not arrive in time\",\"code\":\"request_timeout\"}";
    char *text = str_fmt("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: "
                         "application/problem+json\r\nContent-Length: %zu\r\n\r\n%s",
                         strlen(body), body);

    send(n->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
    free(text);
}

static void look_at(struct http *h, struct conn *n, int64_t now)
{
    int unsent = 0;

    ioctl(n->fd, SIOCOUTQ, &unsent);
    conn_note_unsent(n, unsent, now);
    if (!conn_is_late(&h->conns, n, now))
        return;
    if (n->step != CONN_ANSWER)
        refuse_late(n);
    shutdown(n->fd, SHUT_RDWR);
    conn_enter(n, CONN_ANSWER, now);
}

static void on_sweep(uv_timer_t *t)
{
    struct http *h = t->data;
    int64_t now = now_ms();

    for (struct conn *n = h->conns.first; n; n = n->next)
        look_at(h, n, now);
}

/* -- Requests ---------------------------------------------------------------------------------- */

/* Silence of libmicrohttpd's is for a peer that should speak. One that reads a large file slowly lets no
 * byte leave for minutes, while the kernel's buffers empty. */
static void allow_silence(const struct http_exchange *x, int64_t seconds)
{
    MHD_set_connection_option(x->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)seconds);
}

static struct http_exchange *exchange_new(struct http *h, struct MHD_Connection *c,
                                          const char *method, const char *path)
{
    struct http_exchange *x = NEW(struct http_exchange);

    x->http = h;
    x->connection = c;
    x->conn = conn_of(c);
    x->queued = MHD_NO;
    x->began_ns = clock_mono_ns();
    x->request = (struct request){
        .method = method, .path = path, .body = buf_new(h->body_bytes), .exchange = x};
    conn_enter(x->conn, CONN_BODY, now_ms());
    allow_silence(x, h->conns.limits.body_ms / 1000 + 2); /* ours ends first, with an answer */
    return x;
}

static void exchange_free(struct http_exchange *x)
{
    x->http->n_answers -= x->request.status != 0;
    for (size_t i = 0; i < x->texts.n; i++)
        free(x->texts.at[i]);
    for (size_t i = 0; i < x->headers.n; i++)
        free(x->headers.at[i]);
    vec_free(&x->texts);
    vec_free(&x->headers);
    for (size_t i = 0; i < HTTP_PARAMS; i++)
        free(x->request.params[i]);
    buf_free(&x->request.body);
    if (x->request.sink)
        x->request.sink->free(x->request.sink_arg);
    free(x);
}

static void on_completed(void *arg, struct MHD_Connection *c, void **ctx,
                         enum MHD_RequestTerminationCode how)
{
    (void)arg;
    (void)c;
    (void)how;
    if (*ctx) {
        struct http_exchange *x = *ctx;

        conn_enter(x->conn, CONN_IDLE, now_ms());
        allow_silence(x, conns_idle_s(&x->http->conns));
        exchange_free(x);
    }
    *ctx = NULL;
}

/* The request has its answer, or work that will give it one. */
static enum MHD_Result settle(struct http_exchange *x)
{
    struct request *r = &x->request;

    conn_enter(x->conn, CONN_ANSWER, now_ms());
    allow_silence(x, 0); /* as long as it likes: see look_at */
    if (x->run)
        return MHD_YES;
    if (!r->status)
        http_reply(r, 500, "text/plain", "no answer", 9);
    if (r->status >= 400 || (strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0))
        log_info("request method=%s path=%.200s status=%d ms=%.1f", r->method, r->path, r->status,
                 (double)(clock_mono_ns() - x->began_ns) / 1e6);
    return x->queued;
}

static enum MHD_Result answer(struct http_exchange *x)
{
    void (*then)(struct request * r, void *arg) = x->then;

    x->then = NULL;
    if (then)
        then(&x->request, x->run_arg);
    else
        x->http->service->handle(&x->request, x->http->arg);
    return settle(x);
}

static void on_work(uv_work_t *w)
{
    struct http_exchange *x = w->data;

    x->run(x->run_arg);
}

/* libmicrohttpd then asks for the answer once more. */
static void on_work_done(uv_work_t *w, int status)
{
    struct http_exchange *x = w->data;
    struct http *h = x->http;

    (void)status;
    x->run = NULL;
    h->n_working--;
    MHD_resume_connection(x->connection);
    pump(h);
}

void http_work(struct request *r, void (*work)(void *arg),
               void (*then)(struct request *r, void *arg), void *arg)
{
    struct http_exchange *x = r->exchange;

    ASSERT(!x->run && !r->status);
    x->run = work;
    x->then = then;
    x->run_arg = arg;
    x->work.data = x;
    x->http->n_working++;
    MHD_suspend_connection(x->connection);
    uv_queue_work(x->http->poll.loop, &x->work, on_work, on_work_done);
}

static void refuse(struct request *r, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(struct request *r, const char *code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(r->refusal_text, sizeof(r->refusal_text), fmt, ap);
    va_end(ap);
    r->refusal = code;
}

static void refuse_body(struct http_exchange *x)
{
    refuse(&x->request, "too_large", "a body may have at most %zu bytes", x->http->body_bytes);
}

static enum MHD_Result add_length(void *arg, enum MHD_ValueKind kind, const char *key,
                                  const char *value)
{
    size_t *n = arg;

    (void)kind;
    *n += strlen(key) + (value ? strlen(value) : 0) + 2;
    return MHD_YES;
}

static size_t length_of(struct http_exchange *x, enum MHD_ValueKind kind)
{
    size_t n = 0;

    MHD_get_connection_values(x->connection, kind, add_length, &n);
    return n;
}

/* A body that announces itself as too large is refused before it is sent. */
static bool announced_too_large(const struct http_exchange *x)
{
    const char *text = http_header(&x->request, "Content-Length");
    int64_t n;

    return text && !str_int(text, 0, (int64_t)x->http->body_bytes, &n);
}

/* What can be told from the headers. */
static void check_headers(struct http_exchange *x)
{
    struct request *r = &x->request;
    size_t uri = strlen(r->path) + length_of(x, MHD_GET_ARGUMENT_KIND);
    size_t headers = length_of(x, MHD_HEADER_KIND);

    if (x->conn->surplus)
        refuse(r, "too_many_connections", "there are too many connections from your address");
    else if (uri > HTTP_URI_MAX)
        refuse(r, "uri_too_long", "an address may have at most %d bytes, got %zu", HTTP_URI_MAX,
               uri);
    else if (headers > HTTP_HEADERS_MAX)
        refuse(r, "headers_too_large", "headers may have at most %d bytes, got %zu",
               HTTP_HEADERS_MAX, headers);
}

static enum MHD_Result begin(struct http_exchange *x)
{
    struct request *r = &x->request;

    check_headers(x);
    if (!r->refusal)
        x->http->service->begin(r, x->http->arg);
    if (r->status)
        return settle(x);
    if (!r->refusal && !r->sink && announced_too_large(x))
        refuse_body(x);
    if (!r->refusal)
        return MHD_YES;
    http_add_header(r, "Connection", "close");
    return answer(x);
}

static enum MHD_Result take_body(struct http_exchange *x, const char *data, size_t len)
{
    x->conn->received += len;
    if (x->request.sink && x->request.sink->take(x->request.sink_arg, data, len))
        return MHD_YES;
    if (!x->request.sink && !x->request.refusal && !buf_add(&x->request.body, data, len)) {
        buf_free(&x->request.body);
        refuse_body(x);
    }
    return x->conn->received <= dropped_max ? MHD_YES : MHD_NO;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *len, void **ctx)
{
    struct http_exchange *x = *ctx;
    size_t n = *len;

    (void)version;
    if (!x) {
        *ctx = x = exchange_new(arg, c, method, url);
        return begin(x);
    }
    *len = 0;
    return n ? take_body(x, data, n) : answer(x);
}

const char *http_header(const struct request *r, const char *name)
{
    return MHD_lookup_connection_value(r->exchange->connection, MHD_HEADER_KIND, name);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool http_decode(char *text)
{
    char *out = text;

    for (const char *p = text; *p; p++) {
        if (*p == '%') {
            int high = hex_digit(p[1]), low = high < 0 ? -1 : hex_digit(p[2]);

            if (low < 0 || (high == 0 && low == 0))
                return false;
            *out++ = (char)(high << 4 | low);
            p += 2;
        } else {
            *out++ = *p;
        }
    }
    *out = '\0';
    return true;
}

struct query {
    const char *name, *value;
    size_t skip;
};

static enum MHD_Result on_parameter(void *arg, enum MHD_ValueKind kind, const char *key,
                                    const char *value)
{
    struct query *q = arg;

    (void)kind;
    if (strcmp(key, q->name) != 0 || q->skip-- > 0)
        return MHD_YES;
    q->value = value ? value : "";
    return MHD_NO;
}

const char *http_query_nth(struct request *r, const char *name, size_t n)
{
    struct query q = {name, NULL, n};
    char *text;

    MHD_get_connection_values(r->exchange->connection, MHD_GET_ARGUMENT_KIND, on_parameter, &q);
    if (!q.value)
        return NULL;
    text = str_dup(q.value);
    vec_push(&r->exchange->texts, text);
    return http_decode(text) ? text : "";
}

const char *http_query(struct request *r, const char *name)
{
    return http_query_nth(r, name, 0);
}

/* -- Answers ----------------------------------------------------------------------------------- */

void http_add_header(struct request *r, const char *name, const char *value)
{
    vec_push(&r->exchange->headers, str_dup(name));
    vec_push(&r->exchange->headers, str_dup(value));
}

static void queue(struct request *r, int status, const char *type, struct MHD_Response *response)
{
    struct http_exchange *x = r->exchange;

    ASSERT(response && !r->status);
    if (type)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    for (size_t i = 0; i < x->headers.n; i += 2)
        MHD_add_response_header(response, x->headers.at[i], x->headers.at[i + 1]);
    r->status = status;
    x->http->n_answers++;
    x->queued = MHD_queue_response(x->connection, (unsigned)status, response);
    MHD_destroy_response(response);
}

void http_reply(struct request *r, int status, const char *type, const void *data, size_t len)
{
    /* libmicrohttpd copies; its parameter lacks the const. */
    union {
        const void *in;
        void *out;
    } bytes = {data};

    queue(r, status, type, MHD_create_response_from_buffer(len, bytes.out, MHD_RESPMEM_MUST_COPY));
}

void http_reply_file(struct request *r, int status, const char *type, int take_fd, uint64_t from,
                     uint64_t len)
{
    struct MHD_Response *response = MHD_create_response_from_fd_at_offset64(len, take_fd, from);

    if (response) {
        queue(r, status, type, response);
    } else {
        close(take_fd);
        http_reply(r, 500, "text/plain", "", 0);
    }
}

static ssize_t on_stream_read(void *arg, uint64_t at, char *out, size_t max)
{
    struct http_stream *s = arg;
    ssize_t n = s->ops->read(s->arg, out, max);

    (void)at;
    if (n < 0 || (n == 0 && s->http->stopping))
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == 0) {
        s->suspended = true;
        MHD_suspend_connection(s->connection);
    }
    return n;
}

static void on_stream_free(void *arg)
{
    struct http_stream *s = arg;

    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    s->http->n_streams--;
    s->ops->free(s->arg);
    free(s);
}

void http_reply_stream(struct request *r, int status, const char *type,
                       const struct http_stream_ops *ops, void *take_arg)
{
    struct http *h = r->exchange->http;
    struct http_stream *s = NEW(struct http_stream);

    *s = (struct http_stream){.http = h,
                              .next = h->streams,
                              .link = &h->streams,
                              .connection = r->exchange->connection,
                              .ops = ops,
                              .arg = take_arg};
    if (s->next)
        s->next->link = &s->next;
    h->streams = s;
    h->n_streams++;
    queue(r, status, type,
          MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, on_stream_read, s,
                                            on_stream_free));
}

/* -- Start and stop ---------------------------------------------------------------------------- */

/* Paths stay as they were sent: an encoded slash is not a slash. Parameters are decoded on demand. */
static size_t keep_escapes(void *arg, struct MHD_Connection *c, char *text)
{
    (void)arg;
    (void)c;
    return strlen(text);
}

/* libmicrohttpd complains of every client that goes away in the middle of an answer. */
static void on_log(void *arg, const char *fmt, va_list ap)
{
    (void)arg;
    (void)fmt;
    (void)ap;
}

static void on_closed(uv_handle_t *handle)
{
    struct http *h = handle->data;

    if (--h->open_handles == 0)
        free(h);
}

static void start_handles(struct http *h, uv_loop_t *loop, int epoll_fd)
{
    uv_poll_init(loop, &h->poll, epoll_fd);
    uv_timer_init(loop, &h->timer);
    uv_timer_init(loop, &h->sweep);
    uv_async_init(loop, &h->wake, on_wake);
    h->poll.data = h->timer.data = h->sweep.data = h->wake.data = h;
    h->open_handles = 4;
    uv_poll_start(&h->poll, UV_READABLE, on_poll);
    uv_timer_start(&h->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

struct http *http_start(uv_loop_t *loop, int listen_fd, const struct http_limits *limits,
                        const struct http_service *service, void *arg, struct error *err)
{
    struct http *h = NEW(struct http);

    h->service = service;
    h->arg = arg;
    h->body_bytes = limits->body_bytes;
    h->conns.limits = limits->connections;
    h->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
                              on_accept, h, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
                              MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_NOTIFY_COMPLETED,
                              on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
                              MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
                              MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
                              MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)conns_idle_s(&h->conns),
                              MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL, MHD_OPTION_END);
    if (!h->mhd) {
        free(h);
        close(listen_fd);
        err_set(err, ERR_FAILED, "the HTTP server cannot be started");
        return NULL;
    }
    start_handles(h, loop, MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    pump(h);
    return h;
}

/* Lets answers come to their end, and streams say their last words. */
static void finish_answers(struct http *h)
{
    int64_t end = now_ms() + PARTING_MS, left;
    struct pollfd p = {.fd = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
                       .events = POLLIN};

    resume_streams(h);
    for (;;) {
        for (int i = 0; i < TURNS; i++)
            MHD_run(h->mhd);
        left = end - now_ms();
        if (!h->n_answers || left <= 0)
            return;
        poll(&p, 1, left < 10 ? (int)left : 10);
    }
}

void http_stop(struct http *h)
{
    int fd;

    if (!h)
        return;
    h->stopping = true;
    uv_poll_stop(&h->poll);
    uv_timer_stop(&h->timer);
    uv_timer_stop(&h->sweep);
    fd = MHD_quiesce_daemon(h->mhd);
    while (h->n_working)
        uv_run(h->poll.loop, UV_RUN_ONCE);
    finish_answers(h);
    /* A suspended connection would make MHD_stop_daemon abort the process. */
    resume_streams(h);
    MHD_run(h->mhd);
    MHD_stop_daemon(h->mhd);
    if (fd >= 0)
        close(fd);
    uv_close((uv_handle_t *)&h->poll, on_closed);
    uv_close((uv_handle_t *)&h->timer, on_closed);
    uv_close((uv_handle_t *)&h->sweep, on_closed);
    uv_close((uv_handle_t *)&h->wake, on_closed);
}
