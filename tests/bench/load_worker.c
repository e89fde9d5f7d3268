#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/socket.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/frame.h"
#include "tests/bench/load.h"

typedef Distilld__Envelope Envelope;

enum {
    CHUNK = 256 << 10, /* as the worker sends them (worker/report/uplink.c) */
    IN_FLIGHT = 2
};

struct worker {
    int fd;
    struct buf in;
    uint64_t generation, sequence, sent, acked, points;
    int64_t step;
    bool welcome, stop;
};

static const char *need(const char *name)
{
    const char *v = getenv(name);

    if (v)
        return v;
    fprintf(stderr, "load: worker: %s is not set; the daemon starts this one\n", name);
    exit(2);
}

static void post(struct worker *w, Envelope *e)
{
    struct buf out = buf_new(0);
    size_t n;
    uint8_t *bytes;

    e->has_sequence = e->has_generation = 1;
    e->sequence = ++w->sequence;
    e->generation = w->generation;
    n = distilld__envelope__get_packed_size(e);
    bytes = mem_calloc(n, 1);
    distilld__envelope__pack(e, bytes);
    frame_write(&out, bytes, n);
    for (size_t at = 0; at < out.len;) {
        ssize_t k = send(w->fd, out.data + at, out.len - at, MSG_NOSIGNAL);

        if (k < 0 && errno != EINTR) {
            fprintf(stderr, "load: the daemon is gone\n");
            exit(5);
        }
        at += k > 0 ? (size_t)k : 0;
    }
    buf_free(&out);
    free(bytes);
}

static void post_hello(struct worker *w)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Hello hello = DISTILLD__HELLO__INIT;
    struct buf token = buf_new(256);
    char *job = str_dup(need("DISTILLD_JOB")), *text;

    file_read(need("DISTILLD_TOKEN_FILE"), &token, NULL);
    text = str_dup(buf_text(&token));
    hello.job = job;
    hello.attempt_token = text;
    hello.has_ranks = 1;
    hello.ranks = 1;
    e.body_case = DISTILLD__ENVELOPE__BODY_HELLO;
    e.hello = &hello;
    post(w, &e);
    free(text);
    free(job);
    buf_free(&token);
}

/* What a step of a job with three losses leaves in metrics.jsonl. */
static void post_metrics(struct worker *w)
{
    static const char *const names[] = {"loss/total", "loss/ce", "loss/kd",
                                        "loss/nd",    "lr",      "grad_norm"};
    struct buf b = buf_new(0);
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__MetricChunk m = DISTILLD__METRIC_CHUNK__INIT;

    while (b.len < CHUNK - 1024) {
        for (size_t i = 0; i < ARRAY_LEN(names); i++, w->points++)
            buf_fmt(&b,
                    "{\"step\":%" PRId64
                    ",\"epoch\":0,\"split\":\"train\",\"name\":\"%s\",\"value\":%.9g}\n",
                    w->step, names[i], 1.0 / (double)(w->step + (int64_t)i + 3));
        w->step++;
    }
    m.has_offset = m.has_data = 1;
    m.offset = w->sent;
    m.data = (ProtobufCBinaryData){b.len, (uint8_t *)b.data};
    e.body_case = DISTILLD__ENVELOPE__BODY_METRICS;
    e.metrics = &m;
    w->sent += b.len;
    post(w, &e);
    buf_free(&b);
}

/* False: the daemon is gone. */
static bool receive(struct worker *w)
{
    char bytes[8192];
    ssize_t n = recv(w->fd, bytes, sizeof(bytes), 0);
    const unsigned char *payload;
    size_t len, used;

    if (n <= 0)
        return false;
    buf_add(&w->in, bytes, (size_t)n);
    while (frame_read(w->in.data, w->in.len, &payload, &len, &used, NULL) == FRAME_READY) {
        Envelope *e = distilld__envelope__unpack(NULL, len, payload);

        if (e && e->body_case == DISTILLD__ENVELOPE__BODY_WELCOME) {
            w->welcome = true;
            w->sent = w->acked = e->welcome->metrics_offset;
        } else if (e && e->body_case == DISTILLD__ENVELOPE__BODY_METRICS_ACK) {
            w->acked = e->metrics_ack->offset;
        } else if (e && e->body_case == DISTILLD__ENVELOPE__BODY_STOP) {
            w->stop = true;
        }
        distilld__envelope__free_unpacked(e, NULL);
        buf_consume(&w->in, used);
    }
    return true;
}

static bool join(struct worker *w)
{
    char *address = str_fmt("unix:%s", need("DISTILLD_UPLINK"));

    if (w->fd >= 0)
        close(w->fd);
    w->fd = socket_connect(address, NULL);
    free(address);
    if (w->fd < 0)
        return false;
    w->welcome = false;
    buf_reset(&w->in);
    post_hello(w);
    while (!w->welcome)
        if (!receive(w))
            return false;
    return true;
}

static void must(bool ok)
{
    if (ok)
        return;
    fprintf(stderr, "load: the daemon is gone\n");
    exit(5);
}

/* Without load, as a rank whose steps are long: a job that is cancelled ends when it is told to, and a daemon
 * that was killed comes back. */
static void stay(struct worker *w)
{
    while (!w->stop)
        if (!receive(w))
            while (!join(w))
                usleep(50000);
}

int load_worker(const struct load_options *o)
{
    struct worker w = {
        .fd = -1, .in = buf_new(0), .generation = strtoull(need("DISTILLD_GENERATION"), NULL, 10)};
    double began, seconds;

    must(join(&w));
    began = clock_mono_s();
    while (clock_mono_s() < began + o->seconds && !w.stop) {
        if (w.sent - w.acked < (uint64_t)IN_FLIGHT * CHUNK)
            post_metrics(&w);
        else
            must(receive(&w));
    }
    while (w.acked < w.sent)
        must(receive(&w));
    seconds = clock_mono_s() - began;
    printf("{\"points\":%" PRIu64 ",\"seconds\":%.2f,\"per_s\":%.0f,\"bytes\":%" PRIu64 "}\n",
           w.points, seconds, (double)w.points / seconds, w.acked);
    fflush(stdout);
    stay(&w);
    return 3;
}
