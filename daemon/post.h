/* POST requests to addresses that users named: libcurl driven by the libuv loop. The only file of the daemon
 * that knows it, beside libcurl.h. Redirects are not followed and no proxy is used, or a reply could lead where the guard would not
 * have let the request go; the guard sees each address that a name leads to before it is connected to. */
#ifndef DAEMON_POST_H
#define DAEMON_POST_H

#include <sys/socket.h>
#include <uv.h>

#include "proto/base/error.h"

struct posts;

/* Whether an address may be reached; false with the reason. */
typedef bool (*post_guard)(const struct sockaddr *a, void *arg, struct error *err);

struct posts *posts_new(uv_loop_t *loop, post_guard guard, void *arg);
/* Drops what is under way, without an answer; the handles are closed when the loop has run once more. */
void posts_free(struct posts *p); /* NULL is fine */

struct post {
    const char *url;            /* http: or https: */
    const char *const *headers; /* "Name: value" */
    size_t n_headers;
    const char *body; /* JSON */
};

/* status 0: there was no answer, and err says why; ERR_FORBIDDEN is the guard's. Else err.msg is how the answer's body
 * begins. wait_s: Retry-After; 0: there was none. */
typedef void (*post_done)(int status, int64_t wait_s, const struct error *err, void *arg);

/* What `post` points to is copied. `done` is called once, later, unless posts_free comes first. False: it cannot be sent,
 * and will not be called. */
bool post_send(struct posts *p, const struct post *post, post_done done, void *arg,
               struct error *err);

/* ERR_INVALID: no absolute http: or https: address, or one with a name and password in it. */
bool post_check_url(const char *url, struct error *err);

#endif
