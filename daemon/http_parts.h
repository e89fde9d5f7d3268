/* What the files http*.c share: the only ones that know libmicrohttpd. */
#ifndef DAEMON_HTTP_PARTS_H
#define DAEMON_HTTP_PARTS_H

#include <microhttpd.h>

#include "daemon/http.h"
#include "daemon/soon.h"
#include "proto/base/vec.h"

enum {
    HTTP_POOL = 20 << 10 /* bytes a connection, for libmicrohttpd: headers and address must fit */
};

struct http {
    struct MHD_Daemon *mhd;
    uv_poll_t poll;
    struct soon turn, news; /* news: for streams */
    uv_timer_t timer, sweep, rest;
    int64_t rested_ms; /* when streams may be asked again: see on_news */
    int open_handles;
    /* Turns since a body brought something, in each of which there was more to do. */
    unsigned idle_spins;
    unsigned sweeps; /* so far */
    bool stopping;
    bool tls;
    VEC(struct http_tls) pairs; /* the last one counts; connections may use the others */
    char said[200];             /* by libmicrohttpd, the last time */
    const struct http_service *service;
    void *arg;
    size_t body_bytes;
    struct conns conns;
    struct http_stream *streams;
    size_t n_streams;
    struct crew *senders; /* NULL: there were never many streams, or */
    bool alone;           /* there can be none */
    size_t n_answers;     /* given, but not sent to the end */
    size_t n_working;
    uint64_t next_id; /* of a request: the first is random */
};

/* An answer that goes on. Where nothing is to be said it is suspended, and libmicrohttpd does not look at it. */
struct http_stream {
    struct http *http;
    struct http_stream *next, **link;
    struct MHD_Connection *connection;
    struct MHD_Response *response; /* the connection has it */
    int fd;
    const char *path; /* of its request, as libmicrohttpd has received it */
    bool suspended;
    bool settled; /* it has waited once */
    bool over;    /* it has ended, or its peer has gone */
    const struct http_stream_ops *ops;
    void *arg;
    /* What its reader gave and the socket did not take. */
    struct buf rest;
    size_t n_sent; /* of it */
};

/* What the request needs of libmicrohttpd. */
struct http_exchange {
    struct http *http;
    struct MHD_Connection *connection;
    struct conn *conn;
    struct request request;
    enum MHD_Result queued;
    int64_t began_ns;
    uv_work_t *work;        /* while */
    void (*run)(void *arg); /* something is being done elsewhere; NULL: nothing is */
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

/* Those to send, which libmicrohttpd has copied. */
void http_drop_headers(struct http_exchange *x);

/* To be answered by this problem, and by nothing else; the last one counts. Its connection is closed after that. */
void http_refuse(struct request *r, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Names the request, and refuses it if it breaks a limit or a rule for headers. version: as it has it. */
void http_check(struct http_exchange *x, const char *version);

/* Gives the answer, once. type: NULL for one without a body. Takes the response. */
void http_queue(struct request *r, int status, const char *type, struct MHD_Response *response);

/* Asks all suspended streams; those that have something to say go on. */
void http_streams_ask(struct http *h);
/* It is suspended, and libmicrohttpd has no part in what is sent: its socket may be looked at. */
bool http_stream_is_apart(const struct http_stream *s);
void http_stream_resume(struct http_stream *s);

/* libmicrohttpd's callbacks for requests. */
enum MHD_Result http_on_request(void *arg, struct MHD_Connection *c, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *len, void **ctx);
void http_on_completed(void *arg, struct MHD_Connection *c, void **ctx,
                       enum MHD_RequestTerminationCode how);

#endif
