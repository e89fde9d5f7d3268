#define _GNU_SOURCE
#include "worker/report/uplink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "proto/base/socket.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/frame.h"
#include "worker/report/token.h"

typedef Distilld__Envelope Envelope;

enum {
    CHUNK = 256 << 10,
    POLL_MS = 200,
    HEARTBEAT_S = 5,
    DRAIN_S = 10,
    RETRY_MS = 500,
    MAX_CHECKPOINTS =
        1024 /* times that are kept for a daemon that is away; later ones are not told */
};

struct uplink {
    char *where, *metrics_path, *job, *token;
    uint64_t generation;
    int ranks;
    pthread_t thread;
    atomic_int stop;      /* enum uplink_stop */
    atomic_bool wish;     /* for a checkpoint */
    atomic_bool closing;  /* the job is over: drain, then end */
    pthread_mutex_t lock; /* guards progress, its flag and checkpoints */
    struct progress_state progress;
    char phase[32];
    bool progress_new;
    VEC(double) checkpoints; /* how long they took, not told yet */
    const char *goodbye;
    /* Of the thread alone: */
    int fd; /* -1: not connected */
    bool welcome;
    uint64_t sequence;
    int64_t sent, acked; /* bytes of metrics.jsonl */
    double last_sent_s;
    struct buf in, out;
};

static void disconnect(struct uplink *u)
{
    if (u->fd >= 0)
        close(u->fd);
    u->fd = -1;
    u->welcome = false;
    buf_reset(&u->in);
    buf_reset(&u->out);
}

/* Queues one message. */
static void post(struct uplink *u, Envelope *e)
{
    size_t n;
    uint8_t *bytes;

    e->has_sequence = e->has_generation = 1;
    e->sequence = ++u->sequence;
    e->generation = u->generation;
    n = distilld__envelope__get_packed_size(e);
    bytes = mem_calloc(n, 1);
    distilld__envelope__pack(e, bytes);
    frame_write(&u->out, bytes, n);
    free(bytes);
    u->last_sent_s = clock_mono_s();
}

static void post_hello(struct uplink *u)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Hello hello = DISTILLD__HELLO__INIT;
    char host[256] = "";

    gethostname(host, sizeof(host) - 1);
    hello.job = u->job;
    hello.attempt_token = u->token;
    hello.has_ranks = hello.has_pid = 1;
    hello.ranks = u->ranks;
    hello.pid = getpid();
    hello.host = host;
    e.body_case = DISTILLD__ENVELOPE__BODY_HELLO;
    e.hello = &hello;
    post(u, &e);
}

/* "file:PATH" names a file with the daemon's address, which changes when the daemon starts again;
 * anything else is the path of its socket. free() */
static char *find_daemon(const struct uplink *u)
{
    struct buf address = buf_new(256);
    char *found;

    if (!str_starts(u->where, "file:"))
        return str_fmt("unix:%s", u->where);
    if (!file_read(u->where + strlen("file:"), &address, NULL))
        buf_reset(&address);
    found = str_fmt("tcp:%.*s", (int)strcspn(buf_text(&address), "\n"), buf_text(&address));
    buf_free(&address);
    return found;
}

static bool connect_daemon(struct uplink *u)
{
    char *address = find_daemon(u);

    u->fd = socket_connect(address, NULL);
    free(address);
    if (u->fd < 0)
        return false;
    fcntl(u->fd, F_SETFL, fcntl(u->fd, F_GETFL) | O_NONBLOCK);
    post_hello(u);
    return true;
}

/* Whole lines behind what was sent, up to one chunk. The file may be shorter than what the daemon has:
 * a resumed attempt writes the same bytes again, and there is nothing to send until it is past them. */
static void post_metrics(struct uplink *u)
{
    char *chunk = mem_calloc(CHUNK, 1);
    int fd = open(u->metrics_path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? pread(fd, chunk, CHUNK, u->sent) : -1;

    while (n > 0 && chunk[n - 1] != '\n')
        n--;
    if (n > 0) {
        Envelope e = DISTILLD__ENVELOPE__INIT;
        Distilld__MetricChunk m = DISTILLD__METRIC_CHUNK__INIT;

        m.has_offset = m.has_data = 1;
        m.offset = (uint64_t)u->sent;
        m.data = (ProtobufCBinaryData){(size_t)n, (uint8_t *)chunk};
        e.body_case = DISTILLD__ENVELOPE__BODY_METRICS;
        e.metrics = &m;
        post(u, &e);
        u->sent += n;
    }
    if (fd >= 0)
        close(fd);
    free(chunk);
}

static void post_progress(struct uplink *u)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Progress p = DISTILLD__PROGRESS__INIT;
    char phase[sizeof(u->phase)];
    bool is_new;

    pthread_mutex_lock(&u->lock);
    is_new = u->progress_new || u->checkpoints.n;
    u->progress_new = false;
    p.has_step = p.has_total_steps = p.has_epoch = p.has_eta_s = p.has_images_per_s = 1;
    p.step = u->progress.done;
    p.total_steps = u->progress.total;
    p.epoch = (int32_t)u->progress.epoch;
    p.eta_s = u->progress.eta_s;
    p.images_per_s = u->progress.images_per_s;
    memcpy(phase, u->phase, sizeof(phase));
    p.checkpoint_write_s = u->checkpoints.at;
    p.n_checkpoint_write_s = u->checkpoints.n;
    u->checkpoints.at = NULL;
    u->checkpoints.n = u->checkpoints.cap = 0;
    pthread_mutex_unlock(&u->lock);
    if (!is_new)
        return;
    p.phase = phase;
    e.body_case = DISTILLD__ENVELOPE__BODY_PROGRESS;
    e.progress = &p;
    post(u, &e);
    free(p.checkpoint_write_s);
}

static void post_heartbeat(struct uplink *u)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Heartbeat h = DISTILLD__HEARTBEAT__INIT;

    e.body_case = DISTILLD__ENVELOPE__BODY_HEARTBEAT;
    e.heartbeat = &h;
    post(u, &e);
}

static void post_goodbye(struct uplink *u)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Goodbye g = DISTILLD__GOODBYE__INIT;
    char state[32];

    snprintf(state, sizeof(state), "%s", u->goodbye);
    g.state = state;
    e.body_case = DISTILLD__ENVELOPE__BODY_GOODBYE;
    e.goodbye = &g;
    post(u, &e);
}

static void receive(struct uplink *u, const Envelope *e)
{
    if (e->body_case == DISTILLD__ENVELOPE__BODY_WELCOME) {
        u->welcome = true;
        u->sent = u->acked = (int64_t)e->welcome->metrics_offset;
    } else if (e->body_case == DISTILLD__ENVELOPE__BODY_METRICS_ACK) {
        u->acked = (int64_t)e->metrics_ack->offset;
    } else if (e->body_case == DISTILLD__ENVELOPE__BODY_STOP) {
        atomic_store(&u->stop, e->stop->reason == DISTILLD__STOP_REASON__CANCEL ? UPLINK_CANCEL
                                                                                : UPLINK_PREEMPT);
    } else if (e->body_case == DISTILLD__ENVELOPE__BODY_CHECKPOINT) {
        atomic_store(&u->wish, true);
    }
}

/* False when the connection is of no more use. */
static bool take_frames(struct uplink *u)
{
    const unsigned char *payload;
    size_t len, used;

    for (;;) {
        enum frame_state s = frame_read(u->in.data, u->in.len, &payload, &len, &used, NULL);
        Envelope *e;

        if (s != FRAME_READY)
            return s == FRAME_PARTIAL;
        e = distilld__envelope__unpack(NULL, len, payload);
        if (!e)
            return false;
        receive(u, e);
        distilld__envelope__free_unpacked(e, NULL);
        buf_consume(&u->in, used);
    }
}

static bool read_socket(struct uplink *u)
{
    char bytes[8192];
    ssize_t n = recv(u->fd, bytes, sizeof(bytes), 0);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        return false;
    return n < 0 || (buf_add(&u->in, bytes, (size_t)n) && take_frames(u));
}

static bool write_socket(struct uplink *u)
{
    ssize_t n;

    if (!u->out.len)
        return true;
    n = send(u->fd, u->out.data, u->out.len, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    buf_consume(&u->out, (size_t)n);
    return true;
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* One turn: what is new goes out, what came is read. */
static void exchange(struct uplink *u)
{
    struct pollfd p = {.fd = u->fd, .events = POLLIN};

    if (u->welcome && u->out.len < CHUNK) {
        post_metrics(u);
        post_progress(u);
        if (clock_mono_s() - u->last_sent_s > HEARTBEAT_S)
            post_heartbeat(u);
    }
    if (u->out.len)
        p.events |= POLLOUT;
    if (poll(&p, 1, u->out.len > CHUNK / 2 ? 10 : POLL_MS) < 0)
        return;
    if ((!(p.revents & (POLLIN | POLLHUP | POLLERR)) || read_socket(u)) && write_socket(u))
        return;
    /* Whoever refuses us now may do so for long. */
    if (!u->welcome)
        pause_ms(RETRY_MS);
    disconnect(u);
}

static int64_t file_length(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int64_t n = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;

    if (fd >= 0)
        close(fd);
    return n;
}

static void *run(void *arg)
{
    struct uplink *u = arg;
    double deadline = 0;

    for (;;) {
        bool closing = atomic_load(&u->closing);

        if (closing)
            pulse_beat(); /* the computing thread waits for us, no longer than DRAIN_S */
        if (closing && deadline == 0)
            deadline = clock_mono_s() + DRAIN_S;
        if (closing &&
            (clock_mono_s() > deadline || (u->welcome && u->acked >= file_length(u->metrics_path))))
            break;
        if (u->fd >= 0 || connect_daemon(u))
            exchange(u);
        else if (closing)
            break; /* nobody to tell; the daemon reads the file when it is back */
        else
            pause_ms(RETRY_MS);
    }
    if (u->welcome) {
        post_progress(u);
        post_goodbye(u);
        write_socket(u);
    }
    disconnect(u);
    return NULL;
}

struct uplink *uplink_open(const char *metrics_path, int ranks)
{
    const char *path = getenv("DISTILLD_UPLINK"), *job = getenv("DISTILLD_JOB");
    const char *generation = getenv("DISTILLD_GENERATION");
    struct uplink *u;

    if (!path || !*path)
        return NULL;
    u = NEW(struct uplink);
    u->where = str_dup(path);
    u->metrics_path = str_dup(metrics_path);
    u->job = str_dup(job ? job : "");
    u->token = token_read();
    u->generation = generation ? strtoull(generation, NULL, 10) : 1;
    u->ranks = ranks;
    u->fd = -1;
    u->in = buf_new(2 * FRAME_MAX);
    u->out = buf_new(4 * FRAME_MAX);
    pthread_mutex_init(&u->lock, NULL);
    if (pthread_create(&u->thread, NULL, run, u) == 0)
        return u;
    u->thread = 0;
    pthread_mutex_destroy(&u->lock);
    free(u->where);
    free(u->metrics_path);
    free(u->job);
    free(u->token);
    free(u);
    return NULL;
}

void uplink_progress(struct uplink *u, const struct progress_state *s)
{
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    u->progress = *s;
    snprintf(u->phase, sizeof(u->phase), "%s", s->phase);
    u->progress_new = true;
    pthread_mutex_unlock(&u->lock);
}

void uplink_checkpoint(struct uplink *u, double seconds)
{
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    if (u->checkpoints.n < MAX_CHECKPOINTS)
        vec_push(&u->checkpoints, seconds);
    pthread_mutex_unlock(&u->lock);
}

enum uplink_stop uplink_stop_requested(const struct uplink *u)
{
    return u ? (enum uplink_stop)atomic_load(&u->stop) : UPLINK_GO_ON;
}

bool uplink_take_wish(struct uplink *u)
{
    return u && atomic_exchange(&u->wish, false);
}

void uplink_close(struct uplink *u, const char *state)
{
    if (!u)
        return;
    u->goodbye = state;
    atomic_store(&u->closing, true);
    pthread_join(u->thread, NULL);
    pthread_mutex_destroy(&u->lock);
    vec_free(&u->checkpoints);
    buf_free(&u->in);
    buf_free(&u->out);
    free(u->where);
    free(u->metrics_path);
    free(u->job);
    free(u->token);
    free(u);
}
