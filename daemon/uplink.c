#define _GNU_SOURCE
#include "daemon/uplink.h"

#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/attempts.h"
#include "daemon/ingest.h"
#include "daemon/lifecycle.h"
#include "daemon/secret.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/frame.h"

typedef Distilld__Envelope Envelope;

enum {
    FORMAT = 1, /* of what workers say: Hello.format */
    BACKLOG = 64,
    READ_BLOCK = 64 << 10,
    UNHEARD_MS = 15000, /* three times the worker's heartbeat */
    APART_MS = 3000,    /* ranks that lost the connection come again sooner */
    IN_MAX = FRAME_MAX + FRAME_HEADER + READ_BLOCK
};

/* Local, or TCP. */
union socket {
    uv_stream_t stream;
    uv_handle_t handle;
    uv_pipe_t pipe;
    uv_tcp_t tcp;
};

struct uplink {
    struct daemon *daemon;
    union socket listener;
    struct uplink_peer *peers;
};

/* One connection. It is nobody's until its hello has shown the attempt's token. */
struct uplink_peer {
    struct uplink *uplink;
    struct uplink_peer *next;
    union socket socket;
    char job[JOB_ID_SIZE]; /* "" before hello */
    int64_t generation;
    uint64_t sequence; /* of our frames */
    struct buf in;
    char block[READ_BLOCK];
};

/* -- Connections ------------------------------------------------------------------------------- */

static void on_peer_closed(uv_handle_t *h)
{
    struct uplink_peer *p = h->data;

    buf_free(&p->in);
    free(p);
}

static void peer_close(struct uplink_peer *p)
{
    struct uplink_peer **at = &p->uplink->peers;
    struct active *a = daemon_active(p->uplink->daemon, p->job);

    if (uv_is_closing(&p->socket.handle))
        return;
    if (a && a->peer == p)
        a->peer = NULL;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    uv_close(&p->socket.handle, on_peer_closed);
}

struct write {
    uv_write_t request;
    struct buf frame;
};

static void on_written(uv_write_t *request, int status)
{
    struct write *w = request->data;

    (void)status; /* a lost connection shows when reading */
    buf_free(&w->frame);
    free(w);
}

static void post(struct uplink_peer *p, Envelope *e)
{
    struct write *w = NEW(struct write);
    size_t n;
    uint8_t *bytes;
    uv_buf_t out;

    e->has_sequence = e->has_generation = 1;
    e->sequence = ++p->sequence;
    e->generation = (uint64_t)p->generation;
    n = distilld__envelope__get_packed_size(e);
    bytes = mem_calloc(n ? n : 1, 1);
    distilld__envelope__pack(e, bytes);
    w->frame = buf_new(0);
    frame_write(&w->frame, bytes, n);
    free(bytes);
    w->request.data = w;
    out = uv_buf_init(w->frame.data, (unsigned)w->frame.len);
    if (uv_write(&w->request, &p->socket.stream, &out, 1, on_written) != 0)
        on_written(&w->request, -1);
}

static void post_welcome(struct uplink_peer *p, int64_t offset)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Welcome welcome = DISTILLD__WELCOME__INIT;

    welcome.has_metrics_offset = 1;
    welcome.metrics_offset = (uint64_t)offset;
    e.body_case = DISTILLD__ENVELOPE__BODY_WELCOME;
    e.welcome = &welcome;
    post(p, &e);
}

static void post_ack(struct uplink_peer *p, int64_t offset)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__MetricAck ack = DISTILLD__METRIC_ACK__INIT;

    ack.has_offset = 1;
    ack.offset = (uint64_t)offset;
    e.body_case = DISTILLD__ENVELOPE__BODY_METRICS_ACK;
    e.metrics_ack = &ack;
    post(p, &e);
}

static void post_stop(struct uplink_peer *p, const struct job *j)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Stop stop = DISTILLD__STOP__INIT;

    stop.has_reason = 1;
    stop.reason =
        j->cancel_requested ? DISTILLD__STOP_REASON__CANCEL : DISTILLD__STOP_REASON__PREEMPT;
    e.body_case = DISTILLD__ENVELOPE__BODY_STOP;
    e.stop = &stop;
    post(p, &e);
}

bool uplink_stop_job(struct uplink *u, struct active *a)
{
    (void)u;
    if (!a->peer)
        return false;
    post_stop(a->peer, a->job);
    return true;
}

bool uplink_checkpoint_job(struct uplink *u, struct active *a)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Checkpoint checkpoint = DISTILLD__CHECKPOINT__INIT;

    (void)u;
    if (!a->peer)
        return false;
    e.body_case = DISTILLD__ENVELOPE__BODY_CHECKPOINT;
    e.checkpoint = &checkpoint;
    post(a->peer, &e);
    return true;
}

void uplink_look(struct uplink *u, struct active *a)
{
    const int64_t now = clock_mono_ns();
    int64_t silent_ms;
    bool unheard;

    if (a->job->state == JOB_STARTING)
        return;
    if (!a->heard_ns)
        a->heard_ns = now; /* adopted */
    silent_ms = (now - a->heard_ns) / 1000000;
    unheard = silent_ms > (a->peer ? UNHEARD_MS : APART_MS);
    if (unheard == (a->job->unheard_ms != 0))
        return;
    a->job->unheard_ms = unheard ? clock_wall_ms() - silent_ms : 0;
    log_info("%s job=%s", unheard ? "ranks are not heard" : "ranks are heard again", a->job->id);
    lifecycle_tell_text(u->daemon, "progress", a->job, job_progress_text(a->job));
}

void uplink_forget(struct uplink *u, struct active *a)
{
    (void)u;
    a->heard_ns = 0;
    a->job->unheard_ms = 0;
    if (a->peer)
        peer_close(a->peer);
}

/* -- What workers say: false with err closes the connection ------------------------------------ */

static bool refuse(const Distilld__Hello *h, const char *why, struct error *err)
{
    return err_set(err, ERR_FORBIDDEN, "a worker of job \"%.40s\" is refused: %s",
                   h->job ? h->job : "", why);
}

static bool is_to_stop(const struct job *j)
{
    return j->cancel_requested || job_is_stopping(j);
}

/* A worker of a newer release, after a step back: without a welcome it says nothing more, and goes on. */
static void leave_unheard(struct daemon *d, const struct job *j, uint32_t format)
{
    char *line = str_fmt("the worker is of a newer release (it speaks format %u; this daemon up to "
                         "%d): its metrics come when the attempt is over",
                         (unsigned)format, FORMAT);

    log_warn("a worker is not heard job=%s reason=\"%s\"", j->id, line);
    attempts_say(d, j, line);
    free(line);
}

static void welcome(struct uplink_peer *p, struct active *a)
{
    if (a->peer && a->peer != p)
        peer_close(a->peer);
    a->peer = p;
    a->heard_ns = clock_mono_ns();
    snprintf(p->job, sizeof(p->job), "%s", a->job->id);
    p->generation = a->job->attempt;
    post_welcome(p, store_metrics_offset(p->uplink->daemon->store, a->job->id));
    if (is_to_stop(a->job))
        post_stop(p, a->job);
}

static bool on_hello(struct uplink_peer *p, const Envelope *e, struct error *err)
{
    struct daemon *d = p->uplink->daemon;
    const Distilld__Hello *h = e->hello;
    struct active *a = h->job ? daemon_active(d, h->job) : NULL;
    char hex[SHA256_HEX], want[SHA256_HEX];
    struct reason why;

    if (p->job[0])
        return refuse(h, "it has said hello already", err);
    if (!a || a->job->state == JOB_QUEUED)
        return refuse(h, "the job has no attempt now", err);
    if ((int64_t)e->generation != a->job->attempt)
        return refuse(h, "its generation is over", err);
    if (!store_attempt_token(d->store, a->job->id, a->job->attempt, want, err))
        return false;
    sha256_of(h->attempt_token ? h->attempt_token : "",
              h->attempt_token ? strlen(h->attempt_token) : 0, hex);
    if (!secret_equal(hex, want))
        return refuse(h, "its token is not the attempt's", err);
    if (h->format > FORMAT)
        leave_unheard(d, a->job, h->format);
    else
        welcome(p, a);
    if (a->job->state != JOB_STARTING)
        return true;
    reason_set(&why, a->job->reason.code, "%s", job_why(a->job));
    return lifecycle_apply(d, a, EV_HELLO, is_to_stop(a->job) ? &why : NULL, err);
}

static bool on_metrics(struct uplink_peer *p, struct active *a, const Envelope *e,
                       struct error *err)
{
    const ProtobufCBinaryData *data = &e->metrics->data;
    int64_t offset;

    if (e->metrics->offset > INT64_MAX)
        return err_set(err, ERR_DATA, "a worker sent metrics from beyond any file");
    if (!ingest_lines(p->uplink->daemon, a->job, (int64_t)e->metrics->offset,
                      (const char *)data->data, data->len, &offset, err))
        return false;
    post_ack(p, offset);
    return true;
}

static bool on_progress(struct uplink_peer *p, struct active *a, const Envelope *e,
                        struct error *err)
{
    const Distilld__Progress *g = e->progress;
    struct job_progress *to = &a->job->progress;

    (void)err;
    *to = (struct job_progress){.step = g->step,
                                .total_steps = g->total_steps,
                                .epoch = g->epoch,
                                .eta_s = g->eta_s,
                                .images_per_s = g->images_per_s};
    snprintf(to->phase, sizeof(to->phase), "%s", g->phase ? g->phase : "");
    for (size_t i = 0; i < g->n_checkpoint_write_s; i++)
        if (isfinite(g->checkpoint_write_s[i]) && g->checkpoint_write_s[i] >= 0)
            histogram_add(&p->uplink->daemon->checkpoint_seconds, g->checkpoint_write_s[i]);
    lifecycle_tell_text(p->uplink->daemon, "progress", a->job, job_progress_text(a->job));
    return true;
}

static bool take(struct uplink_peer *p, const Envelope *e, struct error *err)
{
    struct active *a = daemon_active(p->uplink->daemon, p->job);

    if (e->body_case == DISTILLD__ENVELOPE__BODY_HELLO)
        return on_hello(p, e, err);
    if (!a || a->peer != p)
        return err_set(err, ERR_FORBIDDEN, "a worker spoke before its hello");
    a->heard_ns = clock_mono_ns();
    switch (e->body_case) {
    case DISTILLD__ENVELOPE__BODY_METRICS: return on_metrics(p, a, e, err);
    case DISTILLD__ENVELOPE__BODY_PROGRESS: return on_progress(p, a, e, err);
    default: return true; /* heartbeat, goodbye, and what later versions add */
    }
}

static bool take_frames(struct uplink_peer *p, struct error *err)
{
    const unsigned char *payload;
    size_t len, used;

    for (;;) {
        enum frame_state s = frame_read(p->in.data, p->in.len, &payload, &len, &used, err);
        Envelope *e;
        bool ok;

        if (s != FRAME_READY)
            return s == FRAME_PARTIAL;
        e = distilld__envelope__unpack(NULL, len, payload);
        if (!e)
            return err_set(err, ERR_DATA, "a worker sent a frame that is no message");
        ok = take(p, e, err);
        distilld__envelope__free_unpacked(e, NULL);
        if (!ok || uv_is_closing(&p->socket.handle))
            return ok;
        buf_consume(&p->in, used);
    }
}

/* -- The loop ---------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
    struct uplink_peer *p = h->data;

    (void)suggested;
    *out = uv_buf_init(p->block, sizeof(p->block));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *block)
{
    struct uplink_peer *p = s->data;
    struct error err = {0};

    if (n == 0)
        return;
    if (n > 0 && buf_add(&p->in, block->base, (size_t)n) && take_frames(p, &err))
        return;
    if (n > 0)
        log_warn("a worker's connection is closed error=\"%s\"", err.msg);
    peer_close(p);
}

static void init_socket(struct daemon *d, union socket *s)
{
    if (d->settings.hostfile)
        uv_tcp_init(&d->loop, &s->tcp);
    else
        uv_pipe_init(&d->loop, &s->pipe, 0);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct uplink *u = listener->data;
    struct uplink_peer *p;

    if (status != 0)
        return;
    p = NEW(struct uplink_peer);
    p->uplink = u;
    p->in = buf_new(IN_MAX);
    p->next = u->peers;
    u->peers = p;
    init_socket(u->daemon, &p->socket);
    p->socket.handle.data = p;
    if (uv_accept(listener, &p->socket.stream) != 0 ||
        uv_read_start(&p->socket.stream, on_alloc, on_read) != 0)
        peer_close(p);
}

static void on_listener_closed(uv_handle_t *h)
{
    free(h->data);
}

static bool bind_local(struct uplink *u, struct error *err)
{
    char *path = str_path(u->daemon->state_dir, UPLINK_SOCKET);
    mode_t mask = umask(0177);
    int code;

    unlink(path); /* left by a daemon that was killed; ours is the only one (state lock) */
    /* libuv would cut the name off. */
    code = strlen(path) < sizeof((struct sockaddr_un){0}.sun_path)
               ? uv_pipe_bind(&u->listener.pipe, path)
               : UV_ENAMETOOLONG;
    umask(mask);
    if (code == 0)
        code = uv_listen(&u->listener.stream, BACKLOG, on_connection);
    if (code != 0)
        err_set(err, ERR_FAILED, "socket %s: %s (choose another --state folder)", path,
                uv_strerror(code));
    free(path);
    return code == 0;
}

static bool publish_port(struct uplink *u, struct error *err)
{
    struct sockaddr_storage a;
    int len = sizeof(a);
    char *path = str_path(u->daemon->state_dir, UPLINK_ADDRESS), *text;
    bool ok;

    uv_tcp_getsockname(&u->listener.tcp, (struct sockaddr *)&a, &len);
    text = str_fmt("%s:%d\n", u->daemon->settings.advertise,
                   ntohs(((struct sockaddr_in *)&a)->sin_port));
    ok = file_replace(path, text, strlen(text), 0600, err);
    free(text);
    free(path);
    return ok;
}

static bool not_here(const char *address, int code, struct error *err)
{
    return err_set(err, ERR_INVALID,
                   "--advertise: expected an IPv4 address of this host, got \"%s\": %s", address,
                   uv_strerror(code));
}

bool uplink_address(const char *text, struct sockaddr_in *out, struct error *err)
{
    int code = uv_ip4_addr(text, 0, out);

    return code == 0 || not_here(text, code, err);
}

static bool bind_network(struct uplink *u, struct error *err)
{
    const char *address = u->daemon->settings.advertise;
    struct sockaddr_in a;
    int code;

    if (!uplink_address(address, &a, err))
        return false;
    code = uv_tcp_bind(&u->listener.tcp, (const struct sockaddr *)&a, 0);
    if (code == 0)
        code = uv_listen(&u->listener.stream, BACKLOG, on_connection);
    return code == 0 ? publish_port(u, err) : not_here(address, code, err);
}

struct uplink *uplink_start(struct daemon *d, struct error *err)
{
    struct uplink *u = NEW(struct uplink);

    u->daemon = d;
    init_socket(d, &u->listener);
    u->listener.handle.data = u;
    if (d->settings.hostfile ? bind_network(u, err) : bind_local(u, err))
        return u;
    uplink_stop(u);
    return NULL;
}

void uplink_stop(struct uplink *u)
{
    if (!u)
        return;
    while (u->peers)
        peer_close(u->peers);
    uv_close(&u->listener.handle, on_listener_closed);
}
