/* A request from its headers to its answer. */
#define _GNU_SOURCE
#include "daemon/http_parts.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

/* Of a body that is too large so much is taken and dropped, so that the answer can be given: a peer that
 * is cut off in the middle of sending would not see it. */
static const uint64_t dropped_max = UINT64_C(64) << 20;

static struct conn *conn_of(struct MHD_Connection *c)
{
    return MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

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
    conn_enter(x->conn, CONN_BODY, http_now_ms());
    allow_silence(x, h->conns.limits.body_ms / 1000 + 2); /* ours ends first, with an answer */
    return x;
}

void http_drop_headers(struct http_exchange *x)
{
    for (size_t i = 0; i < x->headers.n; i++)
        free(x->headers.at[i]);
    vec_free(&x->headers);
}

static void exchange_free(struct http_exchange *x)
{
    x->http->n_answers -= x->request.status != 0;
    for (size_t i = 0; i < x->texts.n; i++)
        free(x->texts.at[i]);
    vec_free(&x->texts);
    http_drop_headers(x);
    free(x->request.refusal_text);
    for (size_t i = 0; i < HTTP_PARAMS; i++)
        free(x->request.params[i]);
    buf_free(&x->request.body);
    if (x->request.sink)
        x->request.sink->free(x->request.sink_arg);
    free(x);
}

void http_on_completed(void *arg, struct MHD_Connection *c, void **ctx,
                       enum MHD_RequestTerminationCode how)
{
    (void)arg;
    (void)c;
    (void)how;
    if (*ctx) {
        struct http_exchange *x = *ctx;

        conn_enter(x->conn, CONN_IDLE, http_now_ms());
        allow_silence(x, conns_idle_s(&x->http->conns));
        exchange_free(x);
    }
    *ctx = NULL;
}

/* The request has its answer, or work that will give it one. */
static enum MHD_Result settle(struct http_exchange *x)
{
    struct request *r = &x->request;

    conn_enter(x->conn, CONN_ANSWER, http_now_ms());
    allow_silence(x, 0); /* as long as it likes: see look_at */
    if (x->run || x->held)
        return MHD_YES;
    if (!r->status)
        http_reply(r, 500, "text/plain", "no answer", 9);
    if (r->status >= 400 || (strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0))
        log_info("request method=%s path=%.200s status=%d ms=%.1f caller=%s id=%s%s%s", r->method,
                 r->path, r->status, (double)(clock_mono_ns() - x->began_ns) / 1e6,
                 r->caller.id[0] ? r->caller.id : "-", r->id, r->trace[0] ? " trace=" : "",
                 r->trace);
    return x->queued;
}

void http_refuse(struct request *r, const char *code, const char *fmt, ...)
{
    char text[160];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    free(r->refusal_text);
    r->refusal_text = str_dup(text);
    r->refusal = code;
}

/* What comes while the server stops could have to wait when nobody is there any more to let it go on. */
static void begin_answer(struct http_exchange *x)
{
    if (x->http->stopping) {
        http_refuse(&x->request, "stopped", "the daemon is about to end");
        http_add_header(&x->request, "Connection", "close");
    }
    x->http->service->handle(&x->request, x->http->arg);
}

static enum MHD_Result answer(struct http_exchange *x)
{
    void (*then)(struct request * r, void *arg) = x->then;

    x->then = NULL;
    if (then)
        x->http->service->resume(&x->request, x->http->arg, then, x->run_arg);
    else
        begin_answer(x);
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
    free(x->work);
    x->work = NULL;
    x->run = NULL;
    h->n_working--;
    MHD_resume_connection(x->connection);
    http_pump(h);
}

void http_work(struct request *r, void (*work)(void *arg),
               void (*then)(struct request *r, void *arg), void *arg)
{
    struct http_exchange *x = r->exchange;

    ASSERT(!x->run && !r->status);
    x->run = work;
    x->then = then;
    x->run_arg = arg;
    x->work = NEW(uv_work_t);
    x->work->data = x;
    x->http->n_working++;
    MHD_suspend_connection(x->connection);
    uv_queue_work(x->http->poll.loop, x->work, on_work, on_work_done);
}

void http_hold(struct request *r, void (*then)(struct request *r, void *arg), void *arg)
{
    struct http_exchange *x = r->exchange;

    ASSERT(!x->run && !x->held && !r->status);
    x->held = true;
    x->then = then;
    x->run_arg = arg;
    x->http->n_working++;
    MHD_suspend_connection(x->connection);
}

void http_release(struct request *r)
{
    struct http_exchange *x = r->exchange;

    x->held = false;
    x->http->n_working--;
    MHD_resume_connection(x->connection);
    http_turn(x->http);
}

/* libmicrohttpd does not look at a connection that it was told to leave alone, and so does not close it either. */
bool http_is_gone(const struct request *r)
{
    struct pollfd p = {.fd = r->exchange->conn->fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0;
}

static void refuse_body(struct http_exchange *x)
{
    http_refuse(&x->request, "too_large", "a body may have at most %zu bytes", x->request.body.max);
}

/* A body that announces itself as too large is refused before it is sent. */
static bool announced_too_large(const struct http_exchange *x)
{
    const char *text = http_header(&x->request, "Content-Length");
    int64_t n;

    return text && !str_int(text, 0, (int64_t)x->request.body.max, &n);
}

static enum MHD_Result begin(struct http_exchange *x, const char *version)
{
    struct request *r = &x->request;

    http_check(x, version);
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
    x->http->idle_spins = 0;
    x->conn->received += len;
    if (x->request.sink && x->request.sink->take(x->request.sink_arg, data, len))
        return MHD_YES;
    if (!x->request.sink && !x->request.refusal && !buf_add(&x->request.body, data, len)) {
        buf_free(&x->request.body);
        refuse_body(x);
    }
    return x->conn->received <= dropped_max ? MHD_YES : MHD_NO;
}

enum MHD_Result http_on_request(void *arg, struct MHD_Connection *c, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *len, void **ctx)
{
    struct http_exchange *x = *ctx;
    size_t n = *len;

    if (!x) {
        *ctx = x = exchange_new(arg, c, method, url);
        return begin(x, version);
    }
    *len = 0;
    return n ? take_body(x, data, n) : answer(x);
}

const char *http_header(const struct request *r, const char *name)
{
    return MHD_lookup_connection_value(r->exchange->connection, MHD_HEADER_KIND, name);
}

struct list {
    const char *name, *first;
    struct buf all; /* where there are several */
};

static enum MHD_Result on_line(void *arg, enum MHD_ValueKind kind, const char *name,
                               const char *value)
{
    struct list *l = arg;

    (void)kind;
    if (strcasecmp(name, l->name) != 0)
        return MHD_YES;
    if (l->first)
        buf_fmt(&l->all, "%s, %s", l->all.len ? "" : l->first, value);
    else
        l->first = value;
    return MHD_YES;
}

const char *http_header_list(const struct request *r, const char *name)
{
    struct list l = {.name = name, .all = buf_new(0)};
    char *text;

    MHD_get_connection_values(r->exchange->connection, MHD_HEADER_KIND, on_line, &l);
    if (!l.all.len)
        return l.first;
    text = buf_take(&l.all);
    vec_push(&r->exchange->texts, text);
    return text;
}

const char *http_peer(const struct request *r, char out[HTTP_PEER_SIZE])
{
    const struct in6_addr *a = &r->exchange->conn->address;
    bool mapped = IN6_IS_ADDR_V4MAPPED(a);

    snprintf(out, HTTP_PEER_SIZE, "%s", "unix");
    if (!r->exchange->conn->local)
        inet_ntop(mapped ? AF_INET : AF_INET6, mapped ? &a->s6_addr[12] : a->s6_addr, out,
                  HTTP_PEER_SIZE);
    return out;
}

bool http_network(const struct request *r, char out[HTTP_PEER_SIZE])
{
    struct in6_addr a = r->exchange->conn->address;
    bool mapped = IN6_IS_ADDR_V4MAPPED(&a), loopback = conns_is_loopback(&a);

    http_peer(r, out);
    if (mapped || loopback)
        return loopback;
    memset(&a.s6_addr[8], 0, 8);
    inet_ntop(AF_INET6, a.s6_addr, out, HTTP_PEER_SIZE);
    return false;
}

bool http_local(const struct request *r, uid_t *uid)
{
    *uid = r->exchange->conn->uid;
    return r->exchange->conn->local;
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
    http_decode(text); /* http_check has seen that it can be */
    return text;
}

const char *http_query(struct request *r, const char *name)
{
    return http_query_nth(r, name, 0);
}

struct each_name {
    void (*fn)(const char *name, void *arg);
    void *arg;
};

static enum MHD_Result on_each(void *arg, enum MHD_ValueKind kind, const char *key,
                               const char *value)
{
    const struct each_name *n = arg;

    (void)kind;
    (void)value;
    n->fn(key, n->arg);
    return MHD_YES;
}

void http_each_query(struct request *r, void (*fn)(const char *name, void *arg), void *arg)
{
    struct each_name n = {fn, arg};

    MHD_get_connection_values(r->exchange->connection, MHD_GET_ARGUMENT_KIND, on_each, &n);
}
