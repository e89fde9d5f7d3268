/* Connections of the HTTP server, by what a peer may take: so many from one address, and so much time
 * for each step of a request. libmicrohttpd's own timeout counts silence only, so that a byte now and
 * then holds a connection for ever. */
#ifndef DAEMON_CONNS_H
#define DAEMON_CONNS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum {
    CONN_STUCK_S = 300 /* that an answer waits for a peer who takes nothing of it */
};

struct conn_limits {
    int64_t per_address; /* 0: 64, and as many as they like from loopback */
    int64_t header_ms, body_ms;
};

/* What is waited for. */
enum conn_step {
    CONN_FRESH,  /* the headers of the first request */
    CONN_BODY,   /* the rest of a body */
    CONN_ANSWER, /* that the peer takes it, as slowly as it may */
    CONN_IDLE    /* the headers of another request, or the end */
};

struct conn {
    struct conn *next, **link;
    int fd;
    struct in6_addr address; /* IPv4 in its mapped form */
    bool local;              /* by the UNIX socket */
    uid_t uid;               /* of the peer, then */
    bool surplus;            /* one of too many from its address: to be refused */
    enum conn_step step;
    int64_t since_ms;
    uint64_t received; /* of the body */
    int unsent;        /* of the answer, as the kernel holds it */
};

struct conns {
    struct conn_limits limits;
    struct conn *first;
};

bool conns_is_loopback(const struct in6_addr *a);
/* Beyond twice the limit not even a refusal is given. */
bool conns_admit(const struct conns *c, const struct sockaddr *peer);
struct conn *conns_add(struct conns *c, int fd, const struct sockaddr *peer, int64_t now_ms);
void conns_remove(struct conn *n); /* NULL is fine */

void conn_enter(struct conn *n, enum conn_step step, int64_t now_ms);
/* How much of the answer is on its way: as long as that moves, or is nothing, the peer is well. */
void conn_note_unsent(struct conn *n, int unsent, int64_t now_ms);
/* Seconds of silence between two requests, which libmicrohttpd ends. */
int64_t conns_idle_s(const struct conns *c);
bool conn_is_late(const struct conns *c, const struct conn *n, int64_t now_ms);

#endif
