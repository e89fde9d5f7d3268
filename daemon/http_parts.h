/* What the files http*.c share: the only ones that know libmicrohttpd. */
#ifndef DAEMON_HTTP_PARTS_H
#define DAEMON_HTTP_PARTS_H

#include <microhttpd.h>

#include "daemon/http.h"
#include "proto/base/vec.h"

struct http {
    struct MHD_Daemon *mhd;
    uv_poll_t poll;
    uv_timer_t timer, sweep;
    uv_async_t wake;
    int open_handles;
    unsigned idle_spins;
    bool stopping;
    bool tls;
    char said[200]; /* by libmicrohttpd, the last time */
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
    bool held;
    void (*then)(struct request *r, void *arg);
    void *run_arg;
    VEC(char *) texts;   /* decoded parameters */
    VEC(char *) headers; /* names and values to send, in turn */
};

int64_t http_now_ms(void);
/* Does what can be done now, and sees to it that it is called again. */
void http_pump(struct http *h);
/* The same, once for all who ask before the next turn of the loop. */
void http_turn(struct http *h);

/* libmicrohttpd's callbacks for requests. */
enum MHD_Result http_on_request(void *arg, struct MHD_Connection *c, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *len, void **ctx);
void http_on_completed(void *arg, struct MHD_Connection *c, void **ctx,
                       enum MHD_RequestTerminationCode how);

#endif
