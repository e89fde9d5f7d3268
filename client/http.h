/* Requests to one server. The only file that knows libcurl. */
#ifndef CLIENT_HTTP_H
#define CLIENT_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"
#include "proto/base/json.h"

struct http;

struct http_server {
    const char *url;    /* "http://host:port" */
    const char *socket; /* the UNIX socket by which it is reached instead, or NULL */
    const char *token;  /* or NULL */
    const char *ca;     /* file of certificates; NULL: those of the system */
};

/* Copies all of it. Nothing is sent yet. */
struct http *http_open(const struct http_server *to, struct error *err);
void http_close(struct http *h); /* NULL is fine */

/* Takes the body of a successful answer in pieces. False ends the transfer: with err set as a
 * failure, without as a success. */
typedef bool (*http_sink)(const char *bytes, size_t len, void *arg, struct error *err);
/* Called at least about once a second; total is 0 while unknown. False as for the sink. */
typedef bool (*http_tick)(double received, double total, void *arg, struct error *err);

/* Called once before the first byte of a successful answer, when its status and headers can be asked for
 * (http_answer_status, http_answer_header). False ends the transfer as a failure. */
typedef bool (*http_begin)(void *arg, struct error *err);

struct http_request {
    const char *method; /* NULL: GET */
    const char *path;
    const struct json *body;
    const void *bytes; /* a body that is no JSON, and its type */
    size_t n_bytes;
    const char *type;
    const char *upload_offset;    /* Upload-Offset, or NULL */
    bool patient;                 /* the answer may take minutes, in which nothing comes */
    const char *accept;           /* NULL: application/json */
    const char *if_match;         /* or NULL */
    const char *last_id;          /* Last-Event-ID, or NULL */
    const char *range, *if_range; /* or NULL */
    http_begin begin;             /* may be NULL */
    http_sink sink;
    http_tick tick; /* may be NULL */
    void *arg;      /* for all of them */
};

/* The Idempotency-Key of the requests that follow; NULL: none. Borrowed. */
void http_set_key(struct http *h, const char *key);
/* The last request failed on its way, and may have been carried out all the same. */
bool http_lost(const struct http *h);

/* ERR_UNREACHABLE when there was no (whole) answer; any status but 2xx is an error (problem.h), and
 * the answer's body then stands in http_problem. */
bool http_send(struct http *h, const struct http_request *r, struct error *err);

/* A request whose answer is JSON, which is returned; JSON null for an empty answer; NULL with err. Sets
 * sink and arg. */
struct json *http_ask(struct http *h, struct http_request *r, struct error *err);
/* The same for a plain one. */
struct json *http_call(struct http *h, const char *method, const char *path,
                       const struct json *body, struct error *err);

/* The status of the last answer; 0 when there was none. */
long http_answer_status(struct http *h);
/* A header of the last answer, or NULL. Borrowed until the next request. */
const char *http_answer_header(struct http *h, const char *name);

/* The problem document of the last request that was refused, or NULL. */
const struct json *http_problem(const struct http *h);

#endif
