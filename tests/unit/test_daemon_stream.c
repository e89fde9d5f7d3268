/* daemon: its sockets, with peers that behave badly: slow, gone, half-open, lying. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/hosts.h"
#include "daemon/lifecycle.h"
#include "daemon/routes.h"
#include "daemon/snapshot.h"
#include "daemon/sse.h"
#include "daemon/uplink.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/frame.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/unit.h"

typedef Distilld__Envelope Envelope;

/* -- HTTP -------------------------------------------------------------------------------------- */

static int dial(const struct sockaddr_in *a, int window)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (window)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)a, sizeof(*a)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

#define HEADERS " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer dst_secret\r\n\r\n"

static int open_stream(struct daemon *d, const struct sockaddr_in *a, int window)
{
    int fd = dial(a, window);

    say(fd, "GET /api/v1/events" HEADERS);
    rig_turn(d);
    return fd;
}

static size_t count(const struct buf *text, const char *word)
{
    size_t n = 0;

    for (const char *p = buf_text(text); (p = strstr(p, word)); p += strlen(word))
        n++;
    return n;
}

static bool ids_rise(const struct buf *text)
{
    long last = -1;

    for (const char *p = buf_text(text); (p = strstr(p, "\nid: ")); p++) {
        long id = strtol(p + 5, NULL, 10);

        if (id <= last)
            return false;
        last = id;
    }
    return true;
}

/* Each event has the data it was published with; the last one may be on its way still. */
static bool are_whole(const struct buf *text, const char *data)
{
    static const char begin[] = "event: log\ndata: ";
    const size_t len = strlen(data);

    for (const char *p = buf_text(text); (p = strstr(p, begin)); p++) {
        const char *at = p + strlen(begin);
        const size_t left = text->len - (size_t)(at - buf_text(text));

        if (left >= len + 2 && (memcmp(at, data, len) != 0 || memcmp(at + len, "\n\n", 2) != 0))
            return false;
    }
    return true;
}

/* `lagged` names the events between the last that came and the next one, which is the snapshot. */
static bool told_what_it_missed(const struct buf *text)
{
    const char *lagged = strstr(buf_text(text), "event: lagged\ndata: "), *id = NULL;
    long last = 0, from, to, snapshot;

    for (const char *p = buf_text(text); lagged && (p = strstr(p, "\nid: ")) && p < lagged; p++)
        id = p + 5;
    if (id)
        last = strtol(id, NULL, 10);
    if (!lagged ||
        sscanf(lagged, "event: lagged\ndata: {\"from\":%ld,\"to\":%ld}\n\nid: %ld\nevent: snap",
               &from, &to, &snapshot) != 3)
        return false;
    ck_assert_int_eq(from, last + 1);
    ck_assert_int_eq(to, snapshot);
    ck_assert_int_ge(to, from);
    return true;
}

static void stop_http(struct daemon *d)
{
    events_on_publish(d->events, NULL, NULL);
    http_stop(d->http);
    d->http = NULL;
}

START_TEST(a_slow_reader_is_told_and_disturbs_nobody)
{
    enum {
        EVENTS = 600,
        DATA = 30000
    };
    struct buf fast = buf_new(0), slow = buf_new(0);
    char *data = mem_calloc(1, DATA);
    struct sockaddr_in a;
    struct daemon d;
    int fds[2];

    rig_open(&d, "slow", 64);
    a = rig_serve(&d);
    fds[0] = open_stream(&d, &a, 0);
    fds[1] = open_stream(&d, &a, 4096);
    ck_assert_uint_eq(http_streams(d.http), 2);
    memset(data, 'x', DATA - 1);
    rig_receive(fds[0], &fast);
    ck_assert_uint_eq(count(&fast, "event: snapshot"), 1);
    for (int i = 0; i < EVENTS; i++) {
        char *want = str_fmt("id: %d\nevent: log\ndata: ", i + 1);

        buf_reset(&fast);
        events_publish(d.events, "log", "job_x", "default", data);
        for (int k = 0; k < 1000 && !str_ends(buf_text(&fast), "\n\n"); k++) {
            uv_run(&d.loop, UV_RUN_NOWAIT);
            rig_receive(fds[0], &fast);
            if (k > 100) /* the machine is slow, and the daemon lets others have their turn */
                usleep(1000);
        }
        ck_assert_msg(count(&fast, want) == 1 && count(&fast, "event: ") == 1, "event %d: %.60s",
                      i + 1, buf_text(&fast));
        free(want);
    }
    /* It reads all that the sockets hold, and what the stream then has for it. */
    for (int i = 0; i < 100 && !told_what_it_missed(&slow); i++)
        for (int k = 0; k < 400; k++) {
            uv_run(&d.loop, UV_RUN_NOWAIT);
            rig_receive(fds[1], &slow);
        }
    ck_assert_uint_ge(count(&slow, "event: lagged"), 1);
    ck_assert_uint_eq(count(&slow, "event: snapshot"), 1 + count(&slow, "event: lagged"));
    ck_assert(told_what_it_missed(&slow));
    ck_assert(ids_rise(&slow) && are_whole(&slow, data));
    ck_assert_uint_lt(count(&slow, "event: log"), EVENTS);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    buf_free(&fast);
    buf_free(&slow);
    free(data);
    stop_http(&d);
    rig_close(&d);
}
END_TEST

/* What the next client is sent first; its snapshot has this id, and so many events follow. */
static void comes(struct daemon *d, const struct sockaddr_in *a, int id, size_t events)
{
    char *want = str_fmt("id: %d\nevent: snapshot\n", id);
    struct buf text = buf_new(0);
    int fd = open_stream(d, a, 0);

    for (int i = 0; i < 500 && count(&text, "event: log\n") < events; i++) {
        rig_turn(d);
        rig_receive(fd, &text);
    }
    rig_turn(d);
    rig_receive(fd, &text);
    ck_assert_msg(count(&text, want) == 1 && count(&text, "event: snapshot") == 1 &&
                      count(&text, "event: log\n") == events && ids_rise(&text),
                  "expected snapshot %d and %zu events, got %.2000s", id, events, buf_text(&text));
    close(fd);
    buf_free(&text);
    free(want);
}

START_TEST(a_snapshot_is_for_all_who_come_and_loses_no_event)
{
    struct sockaddr_in a;
    struct event *first;
    struct daemon d;

    rig_open(&d, "snapshots", 512);
    a = rig_serve(&d);
    comes(&d, &a, 0, 0);
    ck_assert_uint_eq(d.snapshots.n, 1);
    first = d.snapshots.at[0].frame;
    comes(&d, &a, 0, 0);
    ck_assert_ptr_eq(d.snapshots.at[0].frame, first);
    /* One that took long to write is given for a while; what came since follows. */
    d.snapshots.at[0].until_s = INFINITY;
    for (int i = 0; i < 3; i++)
        events_publish(d.events, "log", "job_x", "default", "{}");
    comes(&d, &a, 0, 3);
    ck_assert_ptr_eq(d.snapshots.at[0].frame, first);
    /* But not where that is a lot. */
    for (int i = 0; i < 297; i++)
        events_publish(d.events, "log", "job_x", "default", "{}");
    comes(&d, &a, 300, 0);
    d.snapshots.at[0].until_s = 0;
    events_publish(d.events, "log", "job_x", "default", "{}");
    comes(&d, &a, 301, 0);
    ck_assert_uint_eq(d.snapshots.n, 1);
    first = d.snapshots.at[0].frame;
    d.untold++;
    d.snapshots.at[0].until_s = 0;
    comes(&d, &a, 301, 0);
    ck_assert_ptr_ne(d.snapshots.at[0].frame, first);
    stop_http(&d);
    rig_close(&d);
}
END_TEST

START_TEST(a_project_has_a_snapshot_of_its_own)
{
    static const char *const projects[] = {"", "a", "b"};
    struct daemon d;
    struct job *jobs[3];

    rig_open(&d, "own", 64);
    for (size_t i = 0; i < ARRAY_LEN(projects); i++) {
        jobs[i] = rig_job((int)i);
        snprintf(jobs[i]->project, sizeof(jobs[i]->project), "%s", i ? projects[i] : "c");
        daemon_add_active(&d, jobs[i]);
    }
    for (int twice = 0; twice < 2; twice++)
        for (size_t i = 0; i < ARRAY_LEN(projects); i++) {
            struct caller who = {.scope = SCOPE_READ};
            struct event *e;

            snprintf(who.project, sizeof(who.project), "%s", projects[i]);
            e = snapshot_take(&d, &who, NULL, 0);
            for (size_t k = 0; k < ARRAY_LEN(jobs); k++)
                ck_assert_msg(!strstr(e->text, jobs[k]->id) == (i && i != k),
                              "a token of \"%s\" sees %s", projects[i], e->text);
            event_unref(e);
        }
    ck_assert_uint_eq(d.snapshots.n, 3);
    snapshot_forget(&d);
    ck_assert_uint_eq(d.snapshots.n, 0);
    rig_close(&d);
}
END_TEST

/* What the clients of the next test ask for: events of all jobs, or of one. */
enum {
    HEARERS = 300,
    KINDS = 3
};

static void hear(int fd, struct daemon *d, struct buf *text, const struct buf *want)
{
    for (int k = 0; k < 5000 && !str_ends(buf_text(text), buf_text(want)); k++) {
        rig_receive(fd, text);
        if (k)
            rig_turn(d);
    }
}

/* Rounds of many are sent by several threads. */
START_TEST(many_hear_everything_in_order)
{
    enum {
        GONE = 7, /* one in so many goes away in between */
        EVENTS = 30
    };
    static const size_t sizes[] = {20, 700, 5, 40000, 16 << 10, 100}; /* of data, in turn */
    struct buf texts[HEARERS], want[KINDS];
    const char *ids[KINDS];
    char *data = mem_calloc(1, 40001), *asks[KINDS];
    int fds[HEARERS];
    struct sockaddr_in a;
    struct daemon d;

    rig_open(&d, "many", 64);
    a = rig_serve(&d);
    for (int k = 0; k < KINDS; k++) {
        ids[k] = k ? rig_submit(&d, k)->id : "";
        asks[k] = str_fmt("GET /api/v1/events%s%s" HEADERS, k ? "?job=" : "", ids[k]);
        want[k] = buf_new(0);
    }
    for (size_t i = 0; i < HEARERS; i++) {
        fds[i] = dial(&a, i % 10 == 3 ? 4096 : 0); /* whose peer has to wait */
        say(fds[i], asks[i % KINDS]);
        rig_turn(&d);
        texts[i] = buf_new(0);
    }
    ck_assert_uint_eq(http_streams(d.http), HEARERS);
    for (size_t e = 0; e < EVENTS; e++) {
        const size_t size = sizes[e % ARRAY_LEN(sizes)], of = 1 + e % (KINDS - 1);
        const int id = (int)events_next_id(d.events);

        memset(data, 'a' + (int)e % 26, size);
        data[size] = '\0';
        events_publish(d.events, "log", ids[of], "default", data);
        for (size_t k = 0; k < KINDS; k++)
            if (k == 0 || k == of)
                buf_fmt(&want[k], "id: %d\nevent: log\ndata: %s\n\n", id, data);
        if (e % 2) /* or two at a time */
            rig_turn(&d);
        for (size_t i = 0; e == EVENTS / 2 && i < HEARERS; i += GONE)
            close(fds[i]);
    }
    for (size_t i = 0; i < HEARERS; i++) {
        if (i % GONE == 0)
            continue;
        hear(fds[i], &d, &texts[i], &want[i % KINDS]);
        ck_assert_msg(str_ends(buf_text(&texts[i]), buf_text(&want[i % KINDS])) &&
                          count(&texts[i], "event: log") == count(&want[i % KINDS], "event: log"),
                      "client %zu: %zu bytes, %zu events", i, texts[i].len,
                      count(&texts[i], "event: log"));
    }
    ck_assert_uint_eq(http_streams(d.http), HEARERS - (HEARERS + GONE - 1) / GONE);
    for (size_t i = 0; i < HEARERS; i++) {
        if (i % GONE)
            close(fds[i]);
        buf_free(&texts[i]);
    }
    for (size_t k = 0; k < KINDS; k++) {
        buf_free(&want[k]);
        free(asks[k]);
    }
    free(data);
    stop_http(&d);
    rig_close(&d);
}
END_TEST

static void beat(struct daemon *d)
{
    d->beats++;
    http_wake(d->http);
    rig_turn(d);
}

/* A beat may take more than one turn, and one that comes before the last was sent takes its place. */
static void hears(struct daemon *d, int fd, struct buf *text, size_t beats)
{
    static const char beat[] = "event: hb\ndata: {}\n\n";

    for (int i = 0; i < 500 && count(text, beat) < beats; i++) {
        rig_turn(d);
        rig_receive(fd, text);
    }
    ck_assert_uint_eq(count(text, beat), beats);
}

START_TEST(heartbeats_tell_life_and_find_the_dead)
{
    struct buf text = buf_new(0);
    struct sockaddr_in a;
    struct daemon d;
    int alive, gone[20];

    rig_open(&d, "beats", 64);
    a = rig_serve(&d);
    alive = open_stream(&d, &a, 0);
    for (size_t i = 0; i < ARRAY_LEN(gone); i++)
        gone[i] = open_stream(&d, &a, 0);
    ck_assert_uint_eq(http_streams(d.http), 1 + ARRAY_LEN(gone));
    for (size_t i = 0; i < ARRAY_LEN(gone); i++)
        close(gone[i]); /* with unread bytes: a reset */
    beat(&d);
    hears(&d, alive, &text, 1);
    beat(&d);
    hears(&d, alive, &text, 2);
    ck_assert_uint_eq(http_streams(d.http), 1);
    close(alive);
    beat(&d);
    beat(&d);
    ck_assert_uint_eq(http_streams(d.http), 0);
    buf_free(&text);
    stop_http(&d);
    rig_close(&d);
}
END_TEST

START_TEST(requests_in_one_breath_are_all_answered)
{
    struct buf text = buf_new(0);
    struct sockaddr_in a;
    struct daemon d;
    int fd;

    rig_open(&d, "pipeline", 64);
    a = rig_serve(&d);
    fd = dial(&a, 0);
    say(fd, "GET /healthz" HEADERS "GET /problems/" HEADERS "POST /healthz" HEADERS
            "GET /api/v1/version" HEADERS "HEAD /api/v1/events" HEADERS "GET /healthz" HEADERS);
    for (int i = 0; i < 5; i++)
        rig_turn(&d);
    rig_receive(fd, &text);
    ck_assert_msg(count(&text, "HTTP/1.1 200 ") == 3 && count(&text, "HTTP/1.1 404 ") == 1 &&
                      count(&text, "HTTP/1.1 405 ") == 1,
                  "%s", buf_text(&text));
    /* HEAD of a stream is no stream, not even the end of one; and the last answer. */
    ck_assert_msg(str_ends(buf_text(&text), "\r\nX-Accel-Buffering: no\r\n\r\n"), "%s",
                  buf_text(&text));
    close(fd);
    rig_turn(&d);
    ck_assert_uint_eq(http_streams(d.http), 0);
    buf_free(&text);
    stop_http(&d);
    rig_close(&d);
}
END_TEST

START_TEST(it_stops_with_everything_open)
{
    static const char *const halves[] = {
        "",
        "G",
        "GET /api/v1/jobs HTTP/1.1\r\nHost: local",
        "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer dst_secret\r\n"
        "Content-Length: 1000\r\n\r\n{",
        "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
        "chunked\r\n\r\n5\r\nab",
        "GET /api/v1/events" HEADERS,
        "GET /api/v1/events" HEADERS "GET /healthz" HEADERS,
        "\r\n\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    };
    struct sockaddr_in a;
    struct daemon d;
    int fds[270];

    rig_open(&d, "stop", 64);
    a = rig_serve(&d);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = dial(&a, 0);
        say(fds[i], halves[i % ARRAY_LEN(halves)]);
        if (i % 30 == 0)
            rig_turn(&d);
    }
    rig_turn(&d);
    ck_assert_uint_eq(http_streams(d.http), 2 * ARRAY_LEN(fds) / ARRAY_LEN(halves));
    for (size_t i = 0; i < ARRAY_LEN(fds); i += 7)
        close(fds[i]);
    stop_http(&d);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (i % 7)
            close(fds[i]);
    rig_close(&d);
}
END_TEST

/* -- The uplink -------------------------------------------------------------------------------- */

static int dial_uplink(const struct daemon *d)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(a.sun_path, sizeof(a.sun_path), "%s/" UPLINK_SOCKET, d->state_dir);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static void post(int fd, const Envelope *e)
{
    size_t n = distilld__envelope__get_packed_size(e);
    uint8_t *bytes = mem_calloc(n ? n : 1, 1);
    struct buf frame = buf_new(0);

    distilld__envelope__pack(e, bytes);
    frame_write(&frame, bytes, n);
    ck_assert_int_eq(send(fd, frame.data, frame.len, MSG_NOSIGNAL), (ssize_t)frame.len);
    buf_free(&frame);
    free(bytes);
}

static void post_hello(int fd, const char *job, const char *token, uint64_t generation)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Hello hello = DISTILLD__HELLO__INIT;
    char *texts[] = {str_dup(job), str_dup(token)};

    hello.job = texts[0];
    hello.attempt_token = texts[1];
    e.has_generation = 1;
    e.generation = generation;
    e.body_case = DISTILLD__ENVELOPE__BODY_HELLO;
    e.hello = &hello;
    post(fd, &e);
    free(texts[0]);
    free(texts[1]);
}

static void post_metrics(int fd, uint64_t offset, const char *text)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__MetricChunk m = DISTILLD__METRIC_CHUNK__INIT;
    char *copy = str_dup(text);

    m.has_offset = m.has_data = 1;
    m.offset = offset;
    m.data = (ProtobufCBinaryData){strlen(copy), (uint8_t *)copy};
    e.body_case = DISTILLD__ENVELOPE__BODY_METRICS;
    e.metrics = &m;
    post(fd, &e);
    free(copy);
}

/* True when the daemon has closed the connection. */
static bool closed(struct daemon *d, int fd)
{
    struct buf text = buf_new(0);
    bool is;

    rig_turn(d);
    is = rig_receive(fd, &text);
    buf_free(&text);
    return is;
}

/* Attempt `generation` of a job, which waits for its rank 0. */
static struct job *start_attempt(struct daemon *d, int n, int64_t generation, const char *token)
{
    struct job *j = rig_submit(d, n);
    char hex[SHA256_HEX];
    struct error err;

    rig_set_state(d, j, JOB_STARTING);
    j->attempt = generation;
    sha256_of(token, strlen(token), hex);
    ck_assert_ok(store_job_update(d->store, j, &err), err);
    ck_assert_ok(store_attempt_add(d->store, j->id, generation, 1, hex, HOST_ALONE ":1", &err),
                 err);
    return j;
}

START_TEST(only_the_attempts_own_rank_is_heard)
{
    static const struct {
        const char *token;
        uint64_t generation;
        bool other_job;
    } liars[] = {{"wrong", 2, false},  {"", 2, false},       {"secre", 2, false},
                 {"secret", 1, false}, {"secret", 3, false}, {"secret", UINT64_MAX, false},
                 {"secret", 0, false}, {"secret", 2, true}};
    struct daemon d;
    struct job *j, *waiting;
    struct error err;
    int fd;

    rig_open(&d, "hello", 64);
    j = start_attempt(&d, 1, 2, "secret");
    waiting = rig_submit(&d, 2);
    d.uplink = uplink_start(&d, &err);
    ck_assert_msg(d.uplink, "%s", err.msg);
    for (size_t i = 0; i < ARRAY_LEN(liars); i++) {
        fd = dial_uplink(&d);
        post_hello(fd, liars[i].other_job ? waiting->id : j->id, liars[i].token,
                   liars[i].generation);
        ck_assert_msg(closed(&d, fd), "liar %zu is heard", i);
        ck_assert_msg(j->state == JOB_STARTING && !daemon_active(&d, j->id)->peer, "liar %zu", i);
        close(fd);
    }
    fd = dial_uplink(&d);
    post_metrics(fd, 0, "x\n");
    ck_assert_msg(closed(&d, fd), "metrics without a hello");
    close(fd);
    fd = dial_uplink(&d);
    post_hello(fd, j->id, "secret", 2);
    ck_assert(!closed(&d, fd));
    ck_assert_int_eq(j->state, JOB_RUNNING);
    /* Another connection of the same attempt takes its place. */
    {
        int again = dial_uplink(&d);

        post_hello(again, j->id, "secret", 2);
        ck_assert(!closed(&d, again));
        ck_assert(closed(&d, fd));
        ck_assert_ptr_nonnull(daemon_active(&d, j->id)->peer);
        /* One hello is enough, also for another job whose token it knows. */
        post_hello(again, start_attempt(&d, 3, 1, "third")->id, "third", 1);
        ck_assert(closed(&d, again));
        ck_assert_ptr_null(daemon_active(&d, j->id)->peer);
        close(again);
    }
    close(fd);
    uplink_stop(d.uplink);
    rig_close(&d);
}
END_TEST

static void post_progress(int fd, double *checkpoints, size_t n)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Progress p = DISTILLD__PROGRESS__INIT;

    p.checkpoint_write_s = checkpoints;
    p.n_checkpoint_write_s = n;
    e.body_case = DISTILLD__ENVELOPE__BODY_PROGRESS;
    e.progress = &p;
    post(fd, &e);
}

START_TEST(times_of_checkpoints_are_counted)
{
    double first[] = {0.002, 0.3, NAN, -1, INFINITY}, second[] = {7};
    struct daemon d;
    struct job *j;
    struct error err;
    uint64_t n = 0;
    int fd;

    rig_open(&d, "checkpoints", 64);
    j = start_attempt(&d, 1, 1, "secret");
    d.uplink = uplink_start(&d, &err);
    ck_assert_msg(d.uplink, "%s", err.msg);
    fd = dial_uplink(&d);
    post_hello(fd, j->id, "secret", 1);
    post_progress(fd, first, ARRAY_LEN(first));
    post_progress(fd, NULL, 0);
    post_progress(fd, second, ARRAY_LEN(second));
    ck_assert(!closed(&d, fd));
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        n += d.checkpoint_seconds.counts[i];
    ck_assert_uint_eq(n, 3);
    ck_assert_uint_eq(d.checkpoint_seconds.counts[HISTOGRAM_BOUNDS], 1);
    ck_assert_double_eq_tol(d.checkpoint_seconds.sum, 7.302, 1e-12);
    close(fd);
    uplink_stop(d.uplink);
    rig_close(&d);
}
END_TEST

#define LINE "{\"step\":1,\"epoch\":0,\"split\":\"train\",\"name\":\"lr\",\"value\":1}\n"

START_TEST(nonsense_costs_the_connection_only)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool closes;
    } raw[] = {
        {"\xff\xff\xff\xff", 4, true}, /* a frame of 4 GB */
        {"\x01\x00\x10\x00", 4, true}, /* one byte over the limit */
        {"\x04\x00\x00\x00\xff\xff\xff\xff", 8, true},
        {"\x02\x00\x00\x00\x52\x7f", 6, true}, /* a hello that ends too early */
        {"\x00\x00\x00\x00", 4, true},         /* an empty one, before hello */
        {"GET / HTTP/1.1\r\n\r\n", 18, true},
        {"\x08", 1, false}, /* the beginning of something */
        {"\x10\x00\x00\x00zzzz", 8, false},
    };
    static const uint64_t offsets[] = {1, 1000000, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    struct daemon d;
    struct job *j;
    struct error err;
    int rank, fds[ARRAY_LEN(raw)];

    rig_open(&d, "nonsense", 64);
    j = start_attempt(&d, 1, 1, "secret");
    d.uplink = uplink_start(&d, &err);
    for (size_t i = 0; i < ARRAY_LEN(raw); i++) {
        fds[i] = dial_uplink(&d);
        ck_assert_int_eq(send(fds[i], raw[i].bytes, raw[i].len, MSG_NOSIGNAL), (ssize_t)raw[i].len);
        ck_assert_msg(closed(&d, fds[i]) == raw[i].closes, "bytes %zu", i);
    }
    /* From the rank itself too; it comes back and goes on. */
    for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
        rank = dial_uplink(&d);
        post_hello(rank, j->id, "secret", 1);
        post_metrics(rank, offsets[i], LINE);
        ck_assert_msg(closed(&d, rank), "offset %zu", i);
        ck_assert_int_eq(store_metrics_offset(d.store, j->id), 0);
        close(rank);
    }
    rank = dial_uplink(&d);
    post_hello(rank, j->id, "secret", 1);
    post_metrics(rank, 0, LINE LINE);
    ck_assert(!closed(&d, rank));
    ck_assert_int_eq(store_metrics_offset(d.store, j->id), 2 * (int64_t)strlen(LINE));
    ck_assert_int_eq(j->state, JOB_RUNNING);
    /* The job ends while frames of it are on their way. */
    post_metrics(rank, 2 * strlen(LINE), LINE);
    uplink_forget(d.uplink, daemon_active(&d, j->id));
    daemon_drop_active(&d, daemon_active(&d, j->id));
    ck_assert(closed(&d, rank));
    close(rank);
    for (size_t i = 0; i < ARRAY_LEN(raw); i++)
        close(fds[i]);
    rig_turn(&d);
    uplink_stop(d.uplink);
    rig_close(&d);
}
END_TEST

UNIT_MAIN(a_slow_reader_is_told_and_disturbs_nobody,
          a_snapshot_is_for_all_who_come_and_loses_no_event, a_project_has_a_snapshot_of_its_own,
          many_hear_everything_in_order, heartbeats_tell_life_and_find_the_dead,
          requests_in_one_breath_are_all_answered, it_stops_with_everything_open,
          only_the_attempts_own_rank_is_heard, times_of_checkpoints_are_counted,
          nonsense_costs_the_connection_only)
