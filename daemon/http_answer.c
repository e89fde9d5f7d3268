/* Answers: of bytes, of a file, and those that go on. */
#include "daemon/http_parts.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/zeros.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    STREAM_BLOCK = 1024,  /* each stream keeps one, and what it takes of its pool stays taken */
    WAIT_BLOCK = 128,     /* the same where libmicrohttpd has hardly anything to send */
    FEED_BLOCK = 16 << 10 /* that are written at a time, and kept of a stream whose peer is slow */
};

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
    http_drop_headers(x); /* a stream would keep them for days */
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

static ssize_t no_body(void *arg, uint64_t at, char *out, size_t max)
{
    (void)arg;
    (void)at;
    (void)out;
    (void)max;
    return MHD_CONTENT_READER_END_OF_STREAM;
}

void http_reply_unchanged(struct request *r, size_t len)
{
    queue(r, MHD_HTTP_NOT_MODIFIED, NULL,
          MHD_create_response_from_callback(len, 1, no_body, NULL, NULL));
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

/* -- Streams ----------------------------------------------------------------------------------- */

/* libmicrohttpd needs half a dozen calls of the kernel to wake a connection, send a frame and suspend it again, which
 * ten thousand clients with an event a second do not leave time for. So what a stream has to say is written to its socket
 * here, with one; libmicrohttpd has it only to send the headers, to wait for a peer whose socket is full, and for the
 * end. That works because the body is delimited by the end of the connection, so that it has no bytes of its own there.
 * With TLS every byte is libmicrohttpd's. */

static bool is_plain(const struct http_stream *s)
{
    return !s->http->tls;
}

static bool has_rest(const struct http_stream *s)
{
    return s->n_sent < s->rest.len;
}

static void drop_rest(struct http_stream *s)
{
    buf_free(&s->rest);
    s->n_sent = 0;
}

/* True when the socket has taken all; else the rest is kept. */
static bool send_block(struct http_stream *s, const char *data, size_t len)
{
    ssize_t n = send(s->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN && errno != EINTR)
        s->over = true;
    if (n == (ssize_t)len)
        return true;
    if (!s->over)
        buf_add(&s->rest, data + (n > 0 ? n : 0), len - (size_t)(n > 0 ? n : 0));
    return false;
}

static bool send_rest(struct http_stream *s)
{
    struct buf rest = s->rest;
    bool ok;

    s->rest = buf_new(0);
    ok = send_block(s, rest.data + s->n_sent, rest.len - s->n_sent);
    s->n_sent = 0;
    buf_free(&rest);
    return ok;
}

/* Sends all that there is, past libmicrohttpd. True when there is no more for now. */
static bool feed(struct http_stream *s)
{
    static char block[FEED_BLOCK];
    ssize_t n;

    if (has_rest(s) && !send_rest(s))
        return false;
    while (!s->over && (n = s->ops->read(s->arg, block, sizeof(block))) != 0) {
        s->over = n < 0;
        if (s->over || !send_block(s, block, (size_t)n))
            return false;
    }
    return !s->over;
}

/* For libmicrohttpd to send, after which it asks again. */
static ssize_t take_rest(struct http_stream *s, char *out, size_t max)
{
    size_t left = s->rest.len - s->n_sent, n = left < max ? left : max;

    memcpy(out, s->rest.data + s->n_sent, n);
    s->n_sent += n;
    if (!has_rest(s))
        drop_rest(s);
    return (ssize_t)n;
}

static ssize_t give(struct http_stream *s, char *out, size_t max)
{
    if (!is_plain(s))
        return s->ops->read(s->arg, out, max < STREAM_BLOCK ? max : STREAM_BLOCK);
    if (feed(s))
        return 0;
    return s->over ? -1 : take_rest(s, out, max);
}

/* The pool of a connection begins with the bytes that have come, and ends with what was made of them; in between there
 * are zeros, written when the answer began. They are most of what a waiting stream costs. Where the path lies is known,
 * and that no more bytes than have come stand before it. */
static void settle(struct http_stream *s)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    s->settled = true;
    if (getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
        len > offsetof(struct tcp_info, tcpi_bytes_received) &&
        info.tcpi_bytes_received < HTTP_POOL / 2)
        zeros_give_back(s->path, HTTP_POOL - (size_t)info.tcpi_bytes_received);
}

static ssize_t on_stream_read(void *arg, uint64_t at, char *out, size_t max)
{
    struct http_stream *s = arg;
    ssize_t n = give(s, out, max);

    (void)at;
    if (n < 0 || (n == 0 && s->http->stopping))
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == 0) {
        if (!s->settled)
            settle(s);
        s->suspended = true;
        MHD_suspend_connection(s->connection);
    }
    return n;
}

void http_stream_resume(struct http_stream *s)
{
    s->suspended = false;
    MHD_resume_connection(s->connection);
}

void http_stream_ask(struct http_stream *s)
{
    if (!is_plain(s) || !feed(s))
        http_stream_resume(s);
}

bool http_stream_is_apart(const struct http_stream *s)
{
    return s->suspended && is_plain(s);
}

static void on_stream_free(void *arg)
{
    struct http_stream *s = arg;

    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    s->http->n_streams--;
    s->ops->free(s->arg);
    buf_free(&s->rest);
    free(s);
}

/* A body that lasts as long as the connection; see above. HEAD has none, after which others may follow. */
static struct MHD_Response *plain_response(struct http_stream *s, bool head)
{
    struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, WAIT_BLOCK,
                                                               on_stream_read, s, on_stream_free);
    int on = 1;

    if (!head)
        MHD_set_response_options(r, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* no other socket has it */
    return r;
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
                              .fd = r->exchange->conn->fd,
                              .path = r->path,
                              .ops = ops,
                              .arg = take_arg,
                              .rest = buf_new(0)};
    if (s->next)
        s->next->link = &s->next;
    h->streams = s;
    h->n_streams++;
    queue(r, status, type,
          is_plain(s) ? plain_response(s, strcmp(r->method, "HEAD") == 0)
                      : MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK,
                                                          on_stream_read, s, on_stream_free));
}
