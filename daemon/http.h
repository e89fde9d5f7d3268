/* HTTP/1.1: libmicrohttpd driven by the libuv loop. Only the files http*.c know the former.
 *
 * A request reaches the handler once its body is complete, on the loop's thread; the handler gives
 * exactly one answer before it returns, or has something done first that takes a while (http_work). A
 * stream is an answer that goes on: its reader is asked for bytes whenever there is room, says 0 when it
 * has none, and is asked again after http_wake. */
#ifndef DAEMON_HTTP_H
#define DAEMON_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "daemon/caller.h"
#include "daemon/conns.h"
#include "daemon/trace.h"
#include "proto/base/buf.h"
#include "proto/base/error.h"

enum {
    HTTP_URI_MAX = 8 << 10,
    HTTP_HEADERS_MAX = 16 << 10,
    HTTP_PARAMS = 4,
    HTTP_HOST_SIZE = 256,
    HTTP_PEER_SIZE = 48
};

/* Texts in PEM form, and GnuTLS's credentials of both (tls.h). */
struct http_tls {
    char *certificate, *key;
    void *credentials;
};

struct http_limits {
    size_t body_bytes;
    struct conn_limits connections;
    const struct http_tls *tls; /* NULL: without TLS; for the start, which http_set_tls follows */
};

struct http;

/* Where a body goes that is not kept in memory. */
struct http_sink {
    /* False: the rest may be dropped. The handler tells why when the body is over. */
    bool (*take)(void *arg, const char *data, size_t len);
    void (*free)(void *arg); /* with the request, whether all of the body came or not */
};

struct request {
    const char *method, *path; /* the path as sent, without the query */
    char *target_host; /* where the target is a whole address, "NAME:PORT" of it; else NULL */
    struct buf body;
    const struct http_sink *sink; /* NULL: the body is in `body` */
    void *sink_arg;
    const char *refusal;       /* NULL, or the code of the problem: it breaks a limit */
    char *refusal_text;        /* which one */
    char *params[HTTP_PARAMS]; /* what the route's {..} stand for, decoded; owned */
    struct caller caller;
    char id[65];            /* X-Request-Id: by which logs, answer and client name it */
    char trace[TRACE_SIZE]; /* its span; "": whoever asks does not trace */
    int status;             /* of the answer; 0: none yet */
    int done;               /* of the answer, if all goes well, as its route has it */
    int audited;            /* the status in the audit log; 0: it does not stand there */
    struct http_exchange *exchange;
};

struct http_service {
    /* The headers are there, the body is still to come: may answer already, or give the request a sink. */
    void (*begin)(struct request *r, void *arg);
    void (*handle)(struct request *r, void *arg);
    /* What http_work has done is over: calls then(r, then_arg). */
    void (*resume)(struct request *r, void *arg, void (*then)(struct request *r, void *arg),
                   void *then_arg);
};

/* listen_fd: a bound, listening socket, which becomes the server's. */
struct http *http_start(uv_loop_t *loop, int listen_fd, const struct http_limits *limits,
                        const struct http_service *service, void *arg, struct error *err);
/* For requests and connections from now on. */
void http_set_limits(struct http *h, const struct http_limits *limits);
/* The same. Takes what it points to; false: it is what counts already. */
bool http_set_tls(struct http *h, struct http_tls *take);
/* Takes no more connections; waits for work; finishes answers, as far as their readers take them within a moment, and
 * streams, whose readers are asked until they have nothing more. The handles are closed when the loop has
 * run once more. */
void http_stop(struct http *h); /* NULL is fine */

/* Borrowed until the answer is given; NULL when missing. Names of headers are case-insensitive. */
const char *http_header(const struct request *r, const char *name);
/* Of a header that is a list: all its lines, as one. */
const char *http_header_list(const struct request *r, const char *name);
/* The first, or n-th, parameter of that name, decoded. */
const char *http_query(struct request *r, const char *name);
const char *http_query_nth(struct request *r, const char *name, size_t n);
/* The names of all of them in order, as sent. */
void http_each_query(struct request *r, void (*fn)(const char *name, void *arg), void *arg);

/* Where it comes from, written to out, which is returned. */
const char *http_peer(const struct request *r, char out[HTTP_PEER_SIZE]);

/* What stands for all addresses that one peer can have: of IPv6 the first 64 bits. True for loopback. */
bool http_network(const struct request *r, char out[HTTP_PEER_SIZE]);
/* Whether it comes by a UNIX socket, and then from which user. */
bool http_local(const struct request *r, uid_t *uid);

/* The name in "name", "name:port" or "[address]:port", as Host has it; false for anything else. */
bool http_host_name(const char *text, char name[HTTP_HOST_SIZE]);

/* Percent-decoding in place; false for a broken escape or a NUL byte. */
bool http_decode(char *text);

/* Instead of an answer: `work` is done on another thread, and `then`, back on the loop's, answers (or asks
 * for more work). It is called in any case, also when the client has gone. */
void http_work(struct request *r, void (*work)(void *arg),
               void (*then)(struct request *r, void *arg), void *arg);

/* Instead of an answer: it waits until http_release, and then `then` answers. That is called in any case, also when
 * the client has gone. The server does not stop before all are released. */
void http_hold(struct request *r, void (*then)(struct request *r, void *arg), void *arg);
void http_release(struct request *r);
/* While one of both lasts, on any thread: whether nobody is there any more to take the answer. */
bool http_is_gone(const struct request *r);

/* To be called before the answer. */
void http_add_header(struct request *r, const char *name, const char *value);
/* The bytes are copied. type: NULL for an answer without a body. */
void http_reply(struct request *r, int status, const char *type, const void *data, size_t len);
/* 304 instead of a body of `len` bytes. */
void http_reply_unchanged(struct request *r, size_t len);
/* `len` bytes of the file from `from` on; takes fd. */
void http_reply_file(struct request *r, int status, const char *type, int take_fd, uint64_t from,
                     uint64_t len);

struct http_stream_ops {
    ssize_t (*read)(void *arg, char *out, size_t max); /* bytes; 0: nothing now; -1: the end */
    void (*free)(void *arg);
};
void http_reply_stream(struct request *r, int status, const char *type,
                       const struct http_stream_ops *ops, void *take_arg);
/* Asks all waiting streams again, soon. */
void http_wake(struct http *h);
/* Open streams. */
size_t http_streams(const struct http *h);

#endif
