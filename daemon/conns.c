#define _GNU_SOURCE
#include "daemon/conns.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

enum {
    PER_ADDRESS = 64,
    RATE = 1024 /* bytes a second that a body must have when its time is over */
};

static struct in6_addr address_of(const struct sockaddr *peer)
{
    struct in6_addr a = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

    if (peer->sa_family == AF_UNIX)
        return in6addr_loopback;
    if (peer->sa_family == AF_INET6)
        memcpy(&a, (const char *)peer + offsetof(struct sockaddr_in6, sin6_addr), sizeof(a));
    else if (peer->sa_family == AF_INET)
        memcpy(&a.s6_addr[12], (const char *)peer + offsetof(struct sockaddr_in, sin_addr), 4);
    return a;
}

bool conns_is_loopback(const struct in6_addr *a)
{
    return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

/* 0: no limit. */
static size_t limit_for(const struct conns *c, const struct in6_addr *a)
{
    if (c->limits.per_address)
        return (size_t)c->limits.per_address;
    return conns_is_loopback(a) ? 0 : PER_ADDRESS;
}

static size_t count(const struct conns *c, const struct in6_addr *a)
{
    size_t n = 0;

    for (const struct conn *at = c->first; at; at = at->next)
        n += memcmp(&at->address, a, sizeof(*a)) == 0;
    return n;
}

bool conns_admit(const struct conns *c, const struct sockaddr *peer)
{
    struct in6_addr a = address_of(peer);
    size_t limit = limit_for(c, &a);

    return !limit || count(c, &a) < 2 * limit;
}

/* Who has connected, as the kernel knows it; nobody when it does not. */
static void take_peer(struct conn *n)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t len = sizeof(peer);

    if (getsockopt(n->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        peer.uid = (uid_t)-1;
    n->local = true;
    n->uid = peer.uid;
}

struct conn *conns_add(struct conns *c, int fd, const struct sockaddr *peer, int64_t now_ms)
{
    struct conn *n = NEW(struct conn);
    size_t limit;

    *n = (struct conn){.next = c->first,
                       .link = &c->first,
                       .fd = fd,
                       .address = address_of(peer),
                       .since_ms = now_ms};
    if (peer->sa_family == AF_UNIX)
        take_peer(n);
    limit = limit_for(c, &n->address);
    n->surplus = limit && count(c, &n->address) >= limit;
    if (n->next)
        n->next->link = &n->next;
    c->first = n;
    return n;
}

void conns_remove(struct conn *n)
{
    if (!n)
        return;
    *n->link = n->next;
    if (n->next)
        n->next->link = n->link;
    free(n);
}

void conn_enter(struct conn *n, enum conn_step step, int64_t now_ms)
{
    n->step = step;
    n->since_ms = now_ms;
    n->received = 0;
}

void conn_note_unsent(struct conn *n, int unsent, int64_t now_ms)
{
    if (n->step != CONN_ANSWER || (unsent && unsent == n->unsent))
        return;
    n->unsent = unsent;
    n->since_ms = now_ms;
}

int64_t conns_idle_s(const struct conns *c)
{
    return 3 * c->limits.header_ms / 1000;
}

bool conn_is_late(const struct conns *c, const struct conn *n, int64_t now_ms)
{
    int64_t ms = now_ms - n->since_ms;

    switch (n->step) {
    case CONN_FRESH: return ms > c->limits.header_ms;
    case CONN_IDLE: return ms > conns_idle_s(c) * 1000 + c->limits.header_ms;
    case CONN_BODY: return ms > c->limits.body_ms && n->received < (uint64_t)ms * RATE / 1000;
    case CONN_ANSWER: return ms > CONN_STUCK_S * 1000;
    }
    return false;
}
