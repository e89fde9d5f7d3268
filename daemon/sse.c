/* A client is a place in the ring of events and at most one frame in its hands. It begins with a
 * snapshot, unless it says by Last-Event-ID where it was and the ring still reaches back to there; if it
 * does not, `reset` comes first. */
#include "daemon/sse.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/problem.h"
#include "daemon/reach.h"
#include "daemon/snapshot.h"
#include "daemon/tokens.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"

enum {
    HEARTBEAT_MS = 15000, /* from one to the next at most */
    BESIDE_MS = 1500,     /* so long it may wait for an event to go along with */
    RETRY_MS = 2000,      /* after which a client is to come back, on average */
    FILTER_MAX = 100
};

struct client {
    struct daemon *daemon;
    struct caller *caller; /* of its request; in client_free it is gone */
    VEC(char *) jobs;      /* only these; none: all */
    unsigned kinds;        /* bits of the kinds that are wanted; 0: all */
    bool parted;
    struct event_cursor cursor;
    struct buf own;       /* frames for this client alone, which go first */
    struct event *shared; /* the frame of the ring, or the snapshot, that is on its way */
    size_t sent;          /* of own, else of shared */
    uint64_t beats;
};

static bool wants(const struct client *c, const struct event *e)
{
    if ((c->kinds && !(c->kinds & e->kind_bit)) || !reach_sees(c->caller, e->project))
        return false;
    for (size_t i = 0; i < c->jobs.n; i++)
        if (strcmp(c->jobs.at[i], e->job) == 0)
            return true;
    return c->jobs.n == 0;
}

/* Nothing more can come: the jobs that were asked for are over. */
static bool all_over(const struct client *c)
{
    for (size_t i = 0; i < c->jobs.n; i++)
        if (daemon_active(c->daemon, c->jobs.at[i]))
            return false;
    return c->jobs.n > 0;
}

/* The whole state, as of the id that it carries, after what is said to this client alone; the cursor stands behind it. */
static void begin_anew(struct client *c)
{
    event_unref(c->shared);
    c->shared = snapshot_take(c->daemon, c->caller, c->jobs.at, c->jobs.n);
    c->cursor.next = c->shared->id + 1;
}

/* from: the first event that it has not had. */
static void add_lagged(struct client *c, uint64_t from)
{
    begin_anew(c);
    buf_fmt(&c->own, "event: lagged\ndata: {\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}\n\n", from,
            c->shared->id);
}

/* No two clients the same, so that those whom a restart has cut off do not come back at once. */
static int retry_ms(void)
{
    return RETRY_MS - 500 + (int)(clock_mono_ns() / 1000 % 1000);
}

/* -- The stream -------------------------------------------------------------------------------- */

/* The next event of the ring that concerns the client. */
static enum events_result next_event(struct client *c, struct event **out)
{
    enum events_result got;

    while ((got = events_read(c->daemon->events, &c->cursor, out)) == EVENTS_READY &&
           !wants(c, *out))
        event_unref(*out);
    return got;
}

/* What has happened since. False when there is nothing. */
static bool take_event(struct client *c)
{
    const uint64_t from = c->cursor.next;
    struct event *e = NULL;

    switch (next_event(c, &e)) {
    case EVENTS_READY: c->shared = e; return true;
    case EVENTS_LAGGED: add_lagged(c, from); return true;
    case EVENTS_NONE: break;
    }
    return false;
}

static void add_bye(struct client *c)
{
    const int ms = retry_ms();

    c->parted = true;
    buf_fmt(&c->own, "retry: %d\nevent: bye\ndata: {\"reason\":\"shutdown\",\"retry_ms\":%d}\n\n",
            ms, ms);
}

/* Fetches something to send. False when there is nothing. */
static bool refill(struct client *c)
{
    c->sent = 0;
    if (take_event(c))
        return true;
    if (c->daemon->stopping && !c->parted) {
        add_bye(c);
        return true;
    }
    if (c->beats == c->daemon->beats || all_over(c)) /* nothing comes behind "end" */
        return false;
    c->beats = c->daemon->beats;
    buf_str(&c->own, "event: hb\ndata: {}\n\n");
    return true;
}

/* Sends from what is at hand; what is sent whole is let go. */
static size_t send_some(struct client *c, char *out, size_t max)
{
    const char *text = c->own.len ? c->own.data : c->shared->text;
    size_t len = c->own.len ? c->own.len : c->shared->len;
    size_t n = len - c->sent < max ? len - c->sent : max;

    memcpy(out, text + c->sent, n);
    c->sent += n;
    if (c->sent < len)
        return n;
    c->sent = 0;
    if (c->own.len) {
        buf_free(&c->own);
    } else {
        event_unref(c->shared);
        c->shared = NULL;
    }
    return n;
}

static ssize_t client_read(void *arg, char *out, size_t max)
{
    struct client *c = arg;
    size_t n = 0;

    if (!token_holds(c->daemon, c->caller))
        return -1;

    while (n < max && (c->own.len || c->shared || refill(c)))
        n += send_some(c, out + n, max - n);
    return n ? (ssize_t)n : all_over(c) ? -1 : 0;
}

static void client_free(void *arg)
{
    struct client *c = arg;

    for (size_t i = 0; i < c->jobs.n; i++)
        free(c->jobs.at[i]);
    vec_free(&c->jobs);
    buf_free(&c->own);
    event_unref(c->shared);
    free(c);
}

static const struct http_stream_ops client_ops = {client_read, client_free};

/* -- The request ------------------------------------------------------------------------------- */

/* ?job=ID, any number of times. False when the answer was given. */
static bool take_filter(struct client *c, struct request *r)
{
    const char *id;

    for (size_t n = 0; (id = http_query_nth(r, "job", n)); n++) {
        struct job *owned;
        struct error err;

        if (n == FILTER_MAX) {
            problem_reply(r, "bad_request", NULL, "at most %d jobs can be named", FILTER_MAX);
            return false;
        }
        if (!api_find_job(c->daemon, c->caller, id, &owned, &err)) {
            problem_reply_error(r, &err);
            return false;
        }
        job_destroy(owned);
        vec_push(&c->jobs, str_dup(id));
    }
    return true;
}

static void refuse_kind(struct request *r, const char *name, size_t len)
{
    struct buf all = buf_new(0);

    for (size_t i = 0; event_kinds[i]; i++)
        buf_fmt(&all, "%s%s", i ? ", " : "", event_kinds[i]);
    problem_reply(r, "bad_request", NULL,
                  "kinds: expected some of %s, with commas between them; got \"%.*s\"",
                  buf_text(&all), len < 40 ? (int)len : 40, name);
    buf_free(&all);
}

/* ?kinds=a,b. False when the answer was given. */
static bool take_kinds(struct client *c, struct request *r)
{
    const char *at = http_query(r, "kinds");

    while (at) {
        const size_t len = strcspn(at, ",");
        const unsigned bit = event_kind_bit(at, len);

        if (!bit) {
            refuse_kind(r, at, len);
            return false;
        }
        c->kinds |= bit;
        at = at[len] ? at + len + 1 : NULL;
    }
    /* With it the stream of named jobs closes. */
    if (c->kinds && c->jobs.n)
        c->kinds |= event_kind_bit("end", 3);
    return true;
}

/* Goes on behind the event that `last` names. False: it cannot; *lost tells why, NULL where none was named. */
static bool take_place(struct client *c, const char *last, const char **lost)
{
    int64_t id;

    *lost = NULL;
    if (!last || !*last)
        return false;
    *lost = "unknown_id";
    if (!str_int(last, 0, INT64_MAX, &id) || (uint64_t)id >= events_next_id(c->daemon->events))
        return false;
    *lost = "history_trimmed";
    if (!events_cover(c->daemon->events, (uint64_t)id))
        return false;
    c->cursor.next = (uint64_t)id + 1;
    return true;
}

/* EventSource cannot change its address when it comes back, and then has the header, which is newer. */
static bool take_request(struct client *c, struct request *r, const char **last)
{
    int64_t after;

    *last = http_header(r, "Last-Event-ID");
    if (!*last || !**last)
        *last = http_query(r, "after");
    return take_filter(c, r) && take_kinds(c, r) && api_number(r, "after", 0, INT64_MAX, 0, &after);
}

static void greet(struct client *c, const char *lost)
{
    buf_fmt(&c->own, "retry: %d\n\n", retry_ms());
    if (lost)
        buf_fmt(&c->own, "event: reset\ndata: {\"reason\":\"%s\"}\n\n", lost);
}

void api_events(struct daemon *d, struct request *r)
{
    struct client *c = NEW(struct client);
    const char *last, *lost;
    bool goes_on;

    c->daemon = d;
    c->caller = &r->caller;
    c->own = buf_new(0);
    c->beats = d->beats;
    if (!take_request(c, r, &last)) {
        client_free(c);
        return;
    }
    goes_on = take_place(c, last, &lost);
    if (goes_on && all_over(c) && !take_event(c)) {
        /* The one answer after which EventSource does not come back. */
        http_reply(r, 204, NULL, "", 0);
        client_free(c);
        return;
    }
    greet(c, goes_on ? NULL : lost);
    if (!goes_on)
        begin_anew(c);
    http_add_header(r, "Cache-Control", "no-store");
    http_add_header(r, "X-Accel-Buffering", "no");
    http_reply_stream(r, 200, "text/event-stream", &client_ops, c);
}

static void on_heartbeat_near(uv_timer_t *t);

static void on_heartbeat(uv_timer_t *t)
{
    daemon_wake_streams(t->data);
    snapshot_forget(t->data);
    uv_timer_start(t, on_heartbeat_near, HEARTBEAT_MS - 2 * BESIDE_MS, 0);
}

/* Thousands of streams in which something is said anyway need no second send. */
static void on_heartbeat_near(uv_timer_t *t)
{
    struct daemon *d = t->data;

    d->beats++;
    uv_timer_start(t, on_heartbeat, BESIDE_MS, 0);
}

static void on_publish(void *daemon)
{
    daemon_wake_streams(daemon);
}

void sse_start(struct daemon *d)
{
    events_on_publish(d->events, on_publish, d);
    d->heartbeat.data = d;
    uv_timer_start(&d->heartbeat, on_heartbeat_near, HEARTBEAT_MS - 2 * BESIDE_MS, 0);
}
