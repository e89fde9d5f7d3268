#define _GNU_SOURCE
#include "daemon/http_parts.h"

#include <gnutls/gnutls.h>
#include <limits.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/secret.h"
#include "daemon/tls.h"
#include "proto/base/clock.h"
#include "proto/base/crew.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    CONNECTIONS = 4096,   /* at least, and as many as the limit of descriptors leaves */
    SPARE_FDS = 256,      /* for files, children, and workers */
    TURNS = 4,            /* of MHD_run in one turn of the loop, which others share */
    LONG_ROUND_MS = 5,    /* of all streams */
    SWEEP_MS = 1000,      /* between looks for connections that are late */
    ANSWER_SWEEPS = 8,    /* looks at a connection whose answer is on its way: one in so many */
    ASKED_AT_ONCE = 2500, /* streams, whether their peers are gone */
    PARTING_MS = 2000     /* for answers that are under way when the server stops */
};

/* -- The loop ---------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *t)
{
    http_pump(t->data);
}

static void on_turn(void *http)
{
    http_pump(http);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    http_pump(p->data);
}

void http_pump(struct http *h)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;

    soon_forget(&h->turn);
    uv_timer_stop(&h->timer);
    for (int i = 0; i < TURNS; i++) {
        MHD_run(h->mhd);
        if (MHD_get_timeout(h->mhd, &ms) != MHD_YES) {
            h->idle_spins = 0;
            return;
        }
        if (ms)
            break;
    }
    /* A timeout of 0 means that connections are ready. libmicrohttpd 0.9.75 can say so for ever of one
     * that waits for its peer; a pause of 1 ms keeps that from taking a core. */
    h->idle_spins = ms ? 0 : h->idle_spins + 1;
    if (h->idle_spins > TURNS)
        ms = 1;
    if (ms)
        uv_timer_start(&h->timer, on_timer, ms, 0);
    else
        soon_call(&h->turn);
}

void http_turn(struct http *h)
{
    if (!h->stopping)
        soon_call(&h->turn);
}

static void resume_streams(struct http *h)
{
    for (struct http_stream *s = h->streams; s; s = s->next)
        if (s->suspended)
            http_stream_resume(s);
}

static void on_rest(uv_timer_t *t);

/* Streams have what came to be known until now. Where that took long, because they are many, others have their turn
 * for as long before it is done again, and what happens meanwhile goes out at once. */
static void ask_streams(struct http *h)
{
    int64_t began = http_now_ms(), took;

    http_streams_ask(h);
    http_pump(h);
    took = http_now_ms() - began;
    h->rested_ms = took > LONG_ROUND_MS ? began + 2 * took : 0;
}

/* Not before timers that are due, which often have more to say: a job has come, and why it waits. */
static void on_news(void *http)
{
    struct http *h = http;
    int64_t left = h->rested_ms - http_now_ms();

    if (h->stopping || uv_is_active((uv_handle_t *)&h->rest))
        return;
    if (left > 0)
        uv_timer_start(&h->rest, on_rest, (uint64_t)left, 0);
    else
        ask_streams(h);
}

static void on_rest(uv_timer_t *t)
{
    ask_streams(t->data);
}

void http_wake(struct http *h)
{
    if (h && !h->stopping)
        soon_call(&h->news);
}

size_t http_streams(const struct http *h)
{
    return h ? h->n_streams : 0;
}

/* -- Connections ------------------------------------------------------------------------------- */

int64_t http_now_ms(void)
{
    return clock_mono_ns() / 1000000;
}

static enum MHD_Result on_accept(void *arg, const struct sockaddr *peer, socklen_t len)
{
    struct http *h = arg;

    (void)len;
    return conns_admit(&h->conns, peer) ? MHD_YES : MHD_NO;
}

/* What libmicrohttpd was started with counts only until it is set anew: both for each connection. */
static void set_up(struct http *h, struct MHD_Connection *c)
{
    MHD_set_connection_option(c, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)conns_idle_s(&h->conns));
    if (h->pairs.n)
        gnutls_credentials_set(
            MHD_get_connection_info(c, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session,
            GNUTLS_CRD_CERTIFICATE, h->pairs.at[h->pairs.n - 1].credentials);
}

static void on_connection(void *arg, struct MHD_Connection *c, void **conn,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *h = arg;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        int fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;

        *conn =
            conns_add(&h->conns, fd,
                      MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr,
                      http_now_ms());
        set_up(h, c);
    } else {
        conns_remove(*conn);
        *conn = NULL;
    }
}

/* Past libmicrohttpd, which cannot answer before a request is complete: nothing else is on its way to
 * this peer, or its step would be another. */
static void refuse_late(const struct conn *n)
{
    static const char body[] =
        "{\"type\":\"/problems/request_timeout\",\"title\":\"Too slow\",\"status\":408,"
        "\"detail\":\"the request did not arrive in time\",\"code\":\"request_timeout\","
        "\"retryable\":true}";
    char *text = str_fmt("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: "
                         "application/problem+json\r\nContent-Length: %zu\r\n\r\n%s",
                         strlen(body), body);

    send(n->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
    free(text);
}

/* An answer is late after minutes only: a call of the kernel for each of thousands of streams need not be every second. */
static bool is_turn_of(const struct http *h, const struct conn *n)
{
    return n->step == CONN_ANSWER && ((unsigned)n->fd + h->sweeps) % ANSWER_SWEEPS == 0;
}

static void look_at(struct http *h, struct conn *n, int64_t now)
{
    int unsent = 0;

    if (is_turn_of(h, n)) {
        ioctl(n->fd, SIOCOUTQ, &unsent);
        conn_note_unsent(n, unsent, now);
    }
    if (!conn_is_late(&h->conns, n, now))
        return;
    if (n->step != CONN_ANSWER && !h->tls)
        refuse_late(n);
    shutdown(n->fd, SHUT_RDWR);
    conn_enter(n, CONN_ANSWER, now);
}

/* Nobody else would notice that the peer of a suspended stream has gone. Many are asked about by one call; of thousands
 * not all in each second. */
static void resume_dead(struct http *h)
{
    const unsigned turns = 1 + (unsigned)(h->n_streams / ASKED_AT_ONCE);
    VEC(struct pollfd) fds = {0};
    VEC(struct http_stream *) streams = {0};

    for (struct http_stream *s = h->streams; s; s = s->next)
        if (((unsigned)s->fd + h->sweeps) % turns == 0 && http_stream_is_apart(s)) {
            vec_push(&fds, (struct pollfd){.fd = s->fd, .events = POLLRDHUP});
            vec_push(&streams, s);
        }
    if (fds.n && poll(fds.at, fds.n, 0) > 0)
        for (size_t i = 0; i < fds.n; i++)
            if (fds.at[i].revents)
                http_stream_resume(streams.at[i]);
    vec_free(&fds);
    vec_free(&streams);
}

static void on_sweep(uv_timer_t *t)
{
    struct http *h = t->data;
    int64_t now = http_now_ms();

    h->sweeps++;
    for (struct conn *n = h->conns.first; n; n = n->next)
        look_at(h, n, now);
    resume_dead(h);
    /* Out of descriptors it stops listening, and begins again when it is run after some came free; nothing
     * wakes us for that. */
    http_turn(h);
}

/* -- Start and stop ---------------------------------------------------------------------------- */

/* Paths stay as they were sent: an encoded slash is not a slash. Parameters are decoded on demand. */
static size_t keep_escapes(void *arg, struct MHD_Connection *c, char *text)
{
    (void)arg;
    (void)c;
    return strlen(text);
}

/* libmicrohttpd complains of every client that goes away in the middle of an answer; only why it does not start is
 * of interest. */
static void on_log(void *arg, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

static void on_log(void *arg, const char *fmt, va_list ap)
{
    struct http *h = arg;

    vsnprintf(h->said, sizeof(h->said), fmt, ap);
    h->said[strcspn(h->said, "\n")] = '\0';
}

static void release(struct http *h)
{
    if (--h->open_handles > 0)
        return;
    for (size_t i = 0; i < h->pairs.n; i++)
        tls_unload(&h->pairs.at[i]);
    vec_free(&h->pairs);
    free(h);
}

static void on_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void on_soon_closed(uv_handle_t *handle)
{
    const struct soon *s = handle->data;

    release(s->arg);
}

static void start_handles(struct http *h, uv_loop_t *loop, int epoll_fd)
{
    uv_poll_init(loop, &h->poll, epoll_fd);
    soon_init(&h->turn, loop, on_turn, h);
    uv_timer_init(loop, &h->timer);
    uv_timer_init(loop, &h->sweep);
    uv_timer_init(loop, &h->rest);
    soon_init(&h->news, loop, on_news, h);
    h->poll.data = h->timer.data = h->sweep.data = h->rest.data = h;
    h->open_handles = 6;
    uv_poll_start(&h->poll, UV_READABLE, on_poll);
    uv_timer_start(&h->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

/* Some descriptors are left, for the files of the daemon and for who comes by another way in. */
static unsigned connections_max(void)
{
    struct rlimit l;
    rlim_t spare;

    if (getrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur == RLIM_INFINITY)
        return CONNECTIONS;
    spare = l.rlim_cur < 2 * SPARE_FDS ? l.rlim_cur / 2 : SPARE_FDS;
    return (unsigned)(l.rlim_cur < UINT_MAX ? l.rlim_cur - spare : UINT_MAX);
}

/* Options of libmicrohttpd; none without TLS. */
static void add_tls(const struct http_tls *tls, struct MHD_OptionItem options[4])
{
    /* Older versions than 1.2 are broken. */
    static char priorities[] = "SECURE128:-VERS-ALL:+VERS-TLS1.2:+VERS-TLS1.3";
    size_t n = 0;

    if (tls) {
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, tls->certificate};
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, tls->key};
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, priorities};
    }
    options[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
}

struct http *http_start(uv_loop_t *loop, int listen_fd, const struct http_limits *limits,
                        const struct http_service *service, void *arg, struct error *err)
{
    struct http *h = NEW(struct http);
    struct MHD_OptionItem tls[4];

    if (limits->tls && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
        free(h);
        close(listen_fd);
        err_set(err, ERR_UNSUPPORTED, "libmicrohttpd was built without TLS");
        return NULL;
    }

    h->service = service;
    h->arg = arg;
    h->body_bytes = limits->body_bytes;
    h->conns.limits = limits->connections;
    h->tls = limits->tls != NULL;
    secret_bytes(&h->next_id, sizeof(h->next_id));
    add_tls(limits->tls, tls);
    h->mhd = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (h->tls ? MHD_USE_TLS : 0),
        0, on_accept, h, http_on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_log, h,
        MHD_OPTION_ARRAY, tls, MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_NOTIFY_COMPLETED,
        http_on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_CONNECTION_LIMIT,
        connections_max(), MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)conns_idle_s(&h->conns),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_POOL, MHD_OPTION_END);
    if (!h->mhd) {
        err_set(err, h->tls ? ERR_INVALID : ERR_FAILED, "the HTTP%s server cannot be started: %s",
                h->tls ? "S" : "", h->said);
        free(h);
        close(listen_fd);
        return NULL;
    }
    start_handles(h, loop, MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    http_pump(h);
    return h;
}

void http_set_limits(struct http *h, const struct http_limits *limits)
{
    h->body_bytes = limits->body_bytes;
    h->conns.limits = limits->connections;
}

bool http_set_tls(struct http *h, struct http_tls *take)
{
    const struct http_tls *now = h->pairs.n ? &h->pairs.at[h->pairs.n - 1] : NULL;

    if (now && strcmp(now->certificate, take->certificate) == 0 &&
        strcmp(now->key, take->key) == 0) {
        tls_unload(take);
        return false;
    }
    vec_push(&h->pairs, *take);
    *take = (struct http_tls){.certificate = NULL};
    return true;
}

/* Lets answers come to their end, and streams say their last words. */
static void finish_answers(struct http *h)
{
    int64_t end = http_now_ms() + PARTING_MS, left;
    struct pollfd p = {.fd = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
                       .events = POLLIN};

    resume_streams(h);
    for (;;) {
        for (int i = 0; i < TURNS; i++)
            MHD_run(h->mhd);
        left = end - http_now_ms();
        if (!h->n_answers || left <= 0)
            return;
        poll(&p, 1, left < 10 ? (int)left : 10);
    }
}

/* What goes on once it is done may have to wait again: a batch that was read is stored. */
static void finish_work(struct http *h)
{
    do {
        while (h->n_working)
            uv_run(h->poll.loop, UV_RUN_ONCE);
        for (int i = 0; i < TURNS; i++)
            MHD_run(h->mhd);
    } while (h->n_working);
}

void http_stop(struct http *h)
{
    int fd;

    if (!h)
        return;
    h->stopping = true;
    uv_poll_stop(&h->poll);
    soon_forget(&h->turn);
    soon_forget(&h->news);
    uv_timer_stop(&h->timer);
    uv_timer_stop(&h->sweep);
    uv_timer_stop(&h->rest);
    fd = MHD_quiesce_daemon(h->mhd);
    finish_work(h);
    finish_answers(h);
    /* A suspended connection would make MHD_stop_daemon abort the process. */
    resume_streams(h);
    MHD_run(h->mhd);
    MHD_stop_daemon(h->mhd);
    crew_free(h->senders);
    if (fd >= 0)
        close(fd);
    uv_close((uv_handle_t *)&h->poll, on_closed);
    uv_close((uv_handle_t *)&h->turn.idle, on_soon_closed);
    uv_close((uv_handle_t *)&h->news.idle, on_soon_closed);
    uv_close((uv_handle_t *)&h->timer, on_closed);
    uv_close((uv_handle_t *)&h->sweep, on_closed);
    uv_close((uv_handle_t *)&h->rest, on_closed);
}
