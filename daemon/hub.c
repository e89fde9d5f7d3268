#define _GNU_SOURCE
#include "daemon/hub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/secret.h"
#include "proto/base/buf.h"
#include "proto/base/host.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/socket.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/frame.h"

typedef Distilld__Envelope Envelope;

enum {
    NOBODY = -1,
    IN_MAX = 64 << 10,
    EVENTS = 64,
    STRANGERS = 64 /* connections beyond one for each rank */
};

struct hub_peer {
    struct hub_peer *next;
    int fd;
    int64_t rank; /* NOBODY before its hello */
    bool owes_stacks;
    uint64_t sequence; /* of our frames */
    struct buf in;
};

struct hub {
    struct hub_config cfg;
    char *address, *machine;
    int listener, events;
    bool hung_up;
    struct hub_peer *peers;
};

/* -- Connections ------------------------------------------------------------------------------- */

static bool watch_fd(struct hub *h, int fd, void *who)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = who};

    return epoll_ctl(h->events, EPOLL_CTL_ADD, fd, &e) == 0;
}

static void drop(struct hub *h, struct hub_peer *p, double now)
{
    struct hub_peer **at = &h->peers;

    if (p->rank != NOBODY)
        watch_gone(h->cfg.watch, (size_t)p->rank, now);
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    close(p->fd);
    buf_free(&p->in);
    free(p);
}

static size_t count_peers(const struct hub *h)
{
    size_t n = 0;

    for (const struct hub_peer *p = h->peers; p; p = p->next)
        n++;
    return n;
}

static void accept_all(struct hub *h)
{
    int fd;

    while ((fd = accept4(h->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        struct hub_peer *p;

        if (count_peers(h) >= h->cfg.watch->n + STRANGERS) {
            close(fd);
            continue;
        }
        p = NEW(struct hub_peer);
        p->fd = fd;
        p->rank = NOBODY;
        p->in = buf_new(IN_MAX);
        p->next = h->peers;
        h->peers = p;
        if (h->hung_up || !watch_fd(h, fd, p))
            drop(h, p, 0);
    }
}

/* Frames are small and answers to what a rank has sent, so one that does not fit into the socket is not
 * missed: the rank is cut off. */
static void post(struct hub_peer *p, Envelope *e)
{
    struct buf frame = buf_new(0);
    size_t n;
    uint8_t *bytes;

    e->has_sequence = 1;
    e->sequence = ++p->sequence;
    n = distilld__envelope__get_packed_size(e);
    bytes = mem_calloc(n, 1);
    distilld__envelope__pack(e, bytes);
    frame_write(&frame, bytes, n);
    if (send(p->fd, frame.data, frame.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
        log_debug("a rank cannot be answered rank=%lld", (long long)p->rank);
    free(bytes);
    buf_free(&frame);
}

/* -- What ranks say: false closes the connection ----------------------------------------------- */

static void post_welcome(struct hub *h, struct hub_peer *p, double sent_s)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Welcome welcome = DISTILLD__WELCOME__INIT;

    welcome.has_lease_s = welcome.has_heartbeat_s = welcome.has_sent_s = 1;
    welcome.lease_s = h->cfg.watch->limits.lease_s;
    welcome.heartbeat_s = h->cfg.watch->limits.heartbeat_s;
    welcome.sent_s = sent_s;
    e.body_case = DISTILLD__ENVELOPE__BODY_WELCOME;
    e.welcome = &welcome;
    post(p, &e);
}

static bool on_hello(struct hub *h, struct hub_peer *p, const Distilld__Hello *hello, double now)
{
    bool remote = strcmp(hello->machine ? hello->machine : "", h->machine) != 0;

    if (p->rank != NOBODY || !hello->has_rank || hello->rank < 0 ||
        (size_t)hello->rank >= h->cfg.watch->n || h->cfg.watch->ranks[hello->rank].known ||
        !secret_equal(hello->attempt_token ? hello->attempt_token : "", h->cfg.token)) {
        log_warn("a rank is refused rank=%d", hello->rank);
        return false;
    }
    p->rank = hello->rank;
    watch_hello(h->cfg.watch, (size_t)p->rank, (pid_t)hello->pid, hello->host ? hello->host : "?",
                remote, now);
    post_welcome(h, p, hello->sent_s);
    return true;
}

static bool on_heartbeat(struct hub *h, struct hub_peer *p, const Distilld__Heartbeat *b,
                         double now)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Heartbeat answer = DISTILLD__HEARTBEAT__INIT;
    struct watch_word word = {.count = b->count, .step = b->step, .waiting = b->waiting};

    snprintf(word.phase, sizeof(word.phase), "%s", b->phase ? b->phase : "");
    snprintf(word.place, sizeof(word.place), "%s", b->place ? b->place : "");
    watch_hear(h->cfg.watch, (size_t)p->rank, &word, now);
    if (h->hung_up)
        return true;
    answer.has_sent_s = 1;
    answer.sent_s = b->sent_s;
    e.body_case = DISTILLD__ENVELOPE__BODY_HEARTBEAT;
    e.heartbeat = &answer;
    h->cfg.watch->ranks[p->rank].answered_s = now;
    post(p, &e);
    return true;
}

/* A state says that this rank failed alone, and is about to end the others. */
static bool on_goodbye(struct watch *w, int64_t rank, const Distilld__Goodbye *g)
{
    bool failed = g->state && *g->state;

    w->ranks[rank].parted = !failed;
    if (failed && w->gave_up < 0)
        w->gave_up = (int)rank;
    return false;
}

static bool take(struct hub *h, struct hub_peer *p, const Envelope *e, double now)
{
    if (e->body_case == DISTILLD__ENVELOPE__BODY_HELLO)
        return on_hello(h, p, e->hello, now);
    if (p->rank == NOBODY)
        return false;
    switch (e->body_case) {
    case DISTILLD__ENVELOPE__BODY_HEARTBEAT: return on_heartbeat(h, p, e->heartbeat, now);
    case DISTILLD__ENVELOPE__BODY_STACKS: p->owes_stacks = false; return true;
    case DISTILLD__ENVELOPE__BODY_GOODBYE: return on_goodbye(h->cfg.watch, p->rank, e->goodbye);
    default: return true; /* what later versions add */
    }
}

static bool take_frames(struct hub *h, struct hub_peer *p, double now)
{
    const unsigned char *payload;
    size_t len, used;
    enum frame_state s;

    while ((s = frame_read(p->in.data, p->in.len, &payload, &len, &used, NULL)) == FRAME_READY) {
        Envelope *e = distilld__envelope__unpack(NULL, len, payload);
        bool ok = e && take(h, p, e, now);

        if (e)
            distilld__envelope__free_unpacked(e, NULL);
        if (!ok)
            return false;
        buf_consume(&p->in, used);
    }
    return s == FRAME_PARTIAL;
}

static bool read_peer(struct hub *h, struct hub_peer *p, double now)
{
    char bytes[16 << 10];
    ssize_t n;

    while ((n = recv(p->fd, bytes, sizeof(bytes), 0)) > 0)
        if (!buf_add(&p->in, bytes, (size_t)n) || !take_frames(h, p, now))
            return false;
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* -- The hub ----------------------------------------------------------------------------------- */

static bool start_listening(struct hub *h, struct error *err)
{
    const char *colon = strrchr(h->cfg.address, ':');

    h->listener = socket_listen(h->cfg.address, err);
    if (h->listener < 0)
        return false;
    /* The port may have been 0. */
    h->address = str_starts(h->cfg.address, "tcp:")
                     ? str_fmt("%.*s:%d", (int)(colon - h->cfg.address), h->cfg.address,
                               socket_port(h->listener))
                     : str_dup(h->cfg.address);
    h->events = epoll_create1(EPOLL_CLOEXEC);
    return (h->events >= 0 && watch_fd(h, h->listener, NULL)) ||
           err_set(err, ERR_IO, "epoll: %s", strerror(errno));
}

struct hub *hub_open(const struct hub_config *cfg, struct error *err)
{
    struct hub *h = NEW(struct hub);

    h->cfg = *cfg;
    h->listener = h->events = -1;
    h->machine = mem_calloc(1, HOST_MACHINE_SIZE);
    host_machine(h->machine);
    if (start_listening(h, err))
        return h;
    hub_close(h);
    return NULL;
}

void hub_close(struct hub *h)
{
    if (!h)
        return;
    while (h->peers)
        drop(h, h->peers, 0);
    if (h->listener >= 0)
        close(h->listener);
    if (h->events >= 0)
        close(h->events);
    if (h->address && str_starts(h->address, "unix:"))
        unlink(h->address + strlen("unix:"));
    free(h->address);
    free(h->machine);
    free(h);
}

const char *hub_address(const struct hub *h)
{
    return h->address;
}

int hub_fd(const struct hub *h)
{
    return h->events;
}

void hub_serve(struct hub *h, double now)
{
    struct epoll_event events[EVENTS];
    int n;

    do {
        n = epoll_wait(h->events, events, EVENTS, 0);
        for (int i = 0; i < n; i++) {
            struct hub_peer *p = events[i].data.ptr;

            if (!p)
                accept_all(h);
            else if (!read_peer(h, p, now))
                drop(h, p, now);
        }
    } while (n == EVENTS);
}

void hub_ask_stacks(struct hub *h)
{
    for (struct hub_peer *p = h->peers; p; p = p->next) {
        Envelope e = DISTILLD__ENVELOPE__INIT;
        Distilld__Stacks stacks = DISTILLD__STACKS__INIT;

        if (p->rank == NOBODY)
            continue;
        e.body_case = DISTILLD__ENVELOPE__BODY_STACKS;
        e.stacks = &stacks;
        p->owes_stacks = true;
        post(p, &e);
    }
}

bool hub_owes_stacks(const struct hub *h, size_t rank)
{
    for (const struct hub_peer *p = h->peers; p; p = p->next)
        if (p->owes_stacks && p->rank == (int64_t)rank)
            return true;
    return false;
}

size_t hub_owed_stacks(const struct hub *h)
{
    size_t n = 0;

    for (const struct hub_peer *p = h->peers; p; p = p->next)
        n += p->owes_stacks;
    return n;
}

void hub_hang_up(struct hub *h)
{
    h->hung_up = true;
    for (struct hub_peer *p = h->peers; p; p = p->next)
        shutdown(p->fd, SHUT_WR);
}
