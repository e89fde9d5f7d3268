/* Answers that go on.
 *
 * libmicrohttpd needs half a dozen calls of the kernel to wake a connection, send a frame and suspend it again, which
 * ten thousand clients with an event a second do not leave time for. So what a stream has to say is written to its socket
 * here, with one; libmicrohttpd has it only to send the headers, to wait for a peer whose socket is full, and for the
 * end. That works because the body is delimited by the end of the connection, so that it has no bytes of its own there.
 * With TLS every byte is libmicrohttpd's. */
#include "daemon/http_parts.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/cores.h"
#include "daemon/zeros.h"
#include "proto/base/crew.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    STREAM_BLOCK = 1024,   /* each stream keeps one, and what it takes of its pool stays taken */
    WAIT_BLOCK = 128,      /* the same where libmicrohttpd has hardly anything to send */
    FEED_BLOCK = 16 << 10, /* that are written at a time, and kept of a stream whose peer is slow */
    ROUND = 256,           /* streams that are sent to together: what they say is kept meanwhile */
    PIECE = 16,            /* of them that a thread takes at a time */
    ALONE = 4 * PIECE,     /* with as many, a call of other threads does not pay */
    SENDERS_MAX = 4
};

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

static ssize_t try_send(const struct http_stream *s, const char *data, size_t len, int *error)
{
    ssize_t n = send(s->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

    *error = n < 0 ? errno : 0;
    return n;
}

/* n: what try_send said. True when the socket has taken all; else the rest is kept. */
static bool note_sent(struct http_stream *s, const char *data, size_t len, ssize_t n, int error)
{
    if (n < 0 && error != EAGAIN && error != EINTR)
        s->over = true;
    if (n == (ssize_t)len)
        return true;
    if (!s->over)
        buf_add(&s->rest, data + (n > 0 ? n : 0), len - (size_t)(n > 0 ? n : 0));
    return false;
}

static bool send_block(struct http_stream *s, const char *data, size_t len)
{
    int error;
    ssize_t n = try_send(s, data, len, &error);

    return note_sent(s, data, len, n, error);
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

static enum MHD_Result copy_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    char **pair = arg;

    (void)kind;
    pair[0] = str_dup(name);
    pair[1] = str_dup(value);
    return MHD_NO; /* the first alone */
}

/* Those of the answer, which libmicrohttpd has sent before it asks for the body; a stream would keep them for days. (It looks
 * at the name again when its own copy is gone.) */
static void drop_headers(const struct http_stream *s)
{
    char *pair[2];
    bool ok = true;

    while (ok && MHD_get_response_headers(s->response, copy_header, pair) > 0) {
        ok = MHD_del_response_header(s->response, pair[0], pair[1]) == MHD_YES;
        free(pair[0]);
        free(pair[1]);
    }
}

static ssize_t on_stream_read(void *arg, uint64_t at, char *out, size_t max)
{
    struct http_stream *s = arg;
    ssize_t n = give(s, out, max);

    (void)at;
    if (n < 0 || (n == 0 && s->http->stopping))
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == 0) {
        if (!s->settled) {
            settle(s);
            drop_headers(s);
        }
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

bool http_stream_is_apart(const struct http_stream *s)
{
    return s->suspended && is_plain(s);
}

/* -- What all have to say ---------------------------------------------------------------------- */

/* Readers know the daemon's state, so only the loop's thread asks them; that is soon done. What takes the time is the
 * kernel's part, and that can be several threads'. */

struct parcel {
    struct http_stream *stream;
    size_t at, len; /* in the round's text */
    ssize_t sent;
    int error;
};

struct round {
    VEC(struct parcel) parcels;
    struct buf text;
};

static void collect(struct round *r, struct http_stream *s)
{
    static char block[FEED_BLOCK];
    ssize_t n = s->ops->read(s->arg, block, sizeof(block));

    if (n < 0) {
        s->over = true;
        http_stream_resume(s);
    } else if (n > 0) {
        vec_push(&r->parcels, (struct parcel){.stream = s, .at = r->text.len, .len = (size_t)n});
        buf_add(&r->text, block, (size_t)n);
    }
}

static void send_piece(void *round, int member, int64_t piece)
{
    struct round *r = round;
    size_t first = (size_t)piece * PIECE;

    (void)member;
    for (size_t i = first; i < first + PIECE && i < r->parcels.n; i++) {
        struct parcel *p = &r->parcels.at[i];

        p->sent = try_send(p->stream, r->text.data + p->at, p->len, &p->error);
    }
}

/* NULL: the loop's thread sends alone. */
static struct crew *senders(struct http *h)
{
    struct error err;
    int64_t cores;

    if (h->senders || h->alone)
        return h->senders;
    cores = cores_online();
    h->senders = crew_new(cores < SENDERS_MAX ? (int)cores : SENDERS_MAX, &err);
    h->alone = !h->senders;
    if (h->alone)
        log_warn("event streams are slower where they are many error=\"%s\"", err.msg);
    return h->senders;
}

static void send_all(struct http *h, struct round *r)
{
    const int64_t pieces = ((int64_t)r->parcels.n + PIECE - 1) / PIECE;
    struct crew *crew = r->parcels.n > ALONE ? senders(h) : NULL;

    if (crew)
        crew_run(crew, pieces, send_piece, r);
    else
        for (int64_t i = 0; i < pieces; i++)
            send_piece(r, 0, i);
}

static void deliver(struct http *h, struct round *r)
{
    send_all(h, r);
    for (size_t i = 0; i < r->parcels.n; i++) {
        struct parcel *p = &r->parcels.at[i];

        if (!note_sent(p->stream, r->text.data + p->at, p->len, p->sent, p->error) ||
            !feed(p->stream))
            http_stream_resume(p->stream);
    }
    r->parcels.n = 0;
    r->text.len = 0;
}

void http_streams_ask(struct http *h)
{
    struct round r = {.text = buf_new(0)};

    for (struct http_stream *s = h->streams; s; s = s->next) {
        if (!s->suspended)
            continue;
        if (is_plain(s))
            collect(&r, s);
        else
            http_stream_resume(s);
        if (r.parcels.n == ROUND)
            deliver(h, &r);
    }
    deliver(h, &r);
    vec_free(&r.parcels);
    buf_free(&r.text);
}

/* -- An answer's life -------------------------------------------------------------------------- */

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

/* A body that lasts as long as the connection; see above. */
static struct MHD_Response *plain_response(struct http_stream *s)
{
    struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, WAIT_BLOCK,
                                                               on_stream_read, s, on_stream_free);
    int on = 1;

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
    s->response = is_plain(s)
                      ? plain_response(s)
                      : MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK,
                                                          on_stream_read, s, on_stream_free);
    /* libmicrohttpd ends the chunks of a body that HEAD does not have: nothing may follow them. */
    if (strcmp(r->method, "HEAD") == 0)
        http_add_header(r, "Connection", "close");
    http_queue(r, status, type, s->response);
}
