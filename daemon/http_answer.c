/* Answers: of bytes and of files. */
#include "daemon/http_parts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"

void http_add_header(struct request *r, const char *name, const char *value)
{
    vec_push(&r->exchange->headers, str_dup(name));
    vec_push(&r->exchange->headers, str_dup(value));
}

void http_queue(struct request *r, int status, const char *type, struct MHD_Response *response)
{
    struct http_exchange *x = r->exchange;

    ASSERT(response && !r->status);
    if (type)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "X-Request-Id", r->id);
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

    http_queue(r, status, type,
               MHD_create_response_from_buffer(len, bytes.out, MHD_RESPMEM_MUST_COPY));
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
    http_queue(r, MHD_HTTP_NOT_MODIFIED, NULL,
               MHD_create_response_from_callback(len, 1, no_body, NULL, NULL));
}

void http_reply_file(struct request *r, int status, const char *type, int take_fd, uint64_t from,
                     uint64_t len)
{
    struct MHD_Response *response = MHD_create_response_from_fd_at_offset64(len, take_fd, from);

    if (response) {
        http_queue(r, status, type, response);
    } else {
        close(take_fd);
        http_reply(r, 500, "text/plain", "", 0);
    }
}
