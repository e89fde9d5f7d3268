/* Answers: of bytes, of a file, and those that go on. */
#include "daemon/http_parts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    STREAM_BLOCK = 1024 /* each stream keeps one, and what it takes of its pool stays taken */
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

static ssize_t on_stream_read(void *arg, uint64_t at, char *out, size_t max)
{
    struct http_stream *s = arg;
    ssize_t n = s->ops->read(s->arg, out, max < STREAM_BLOCK ? max : STREAM_BLOCK);

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
