#include "daemon/events.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"
#include "proto/base/mem.h"

struct events {
    struct event **ring; /* the event of id i lies at i % max_events */
    size_t max_events, max_bytes, bytes;
    uint64_t first, next; /* the ring holds first <= id < next */
    uint64_t reserved;    /* ids below may be given */
    events_reserve_fn reserve;
    void *reserve_arg;
    void (*wake)(void *arg);
    void *wake_arg;
};

const char *const event_kinds[] = {"state", "progress", "metric", "log", "end", "purged", NULL};

unsigned event_kind_bit(const char *name, size_t len)
{
    for (unsigned i = 0; event_kinds[i]; i++)
        if (strlen(event_kinds[i]) == len && memcmp(event_kinds[i], name, len) == 0)
            return 1U << i;
    return 0;
}

/* Its text is still to be written. */
static struct event *make(uint64_t id, const char *kind, const char *job, const char *project,
                          size_t len)
{
    struct event *ev = mem_calloc(1, sizeof(*ev) + len + 1);

    ev->id = id;
    snprintf(ev->kind, sizeof(ev->kind), "%s", kind);
    snprintf(ev->job, sizeof(ev->job), "%s", job);
    snprintf(ev->project, sizeof(ev->project), "%s", project);
    ev->kind_bit = event_kind_bit(kind, strlen(kind));
    ev->refs = 1;
    ev->len = len;
    return ev;
}

struct event *event_new(uint64_t id, const char *kind, const char *job, const char *project,
                        const char *data)
{
    static const char end[] = "\n\n";
    char head[64];
    struct event *ev;
    size_t n, len = strlen(data);

    n = (size_t)snprintf(head, sizeof(head), "id: %" PRIu64 "\nevent: %.15s\ndata: ", id, kind);
    ev = make(id, kind, job, project, n + len + strlen(end));
    memcpy(ev->text, head, n);
    memcpy(ev->text + n, data, len);
    memcpy(ev->text + n + len, end, sizeof(end));
    return ev;
}

struct event *event_of_frames(uint64_t id, const char *project, const void *frames, size_t len)
{
    struct event *ev = make(id, "", "", project, len);

    memcpy(ev->text, frames, len);
    return ev;
}

struct event *event_ref(struct event *ev)
{
    ev->refs++;
    return ev;
}

void event_unref(struct event *ev)
{
    if (ev && --ev->refs == 0)
        free(ev);
}

/* The next id is always a reserved one. */
static void reserve_next(struct events *e)
{
    uint64_t below = e->next + EVENTS_BLOCK;

    if (e->next >= e->reserved && (!e->reserve || e->reserve(below, e->reserve_arg)))
        e->reserved = below;
}

struct events *events_new(uint64_t first_id, size_t max_events, size_t max_bytes,
                          events_reserve_fn reserve, void *arg)
{
    struct events *e = NEW(struct events);

    ASSERT(first_id > 0);
    *e = (struct events){
        .ring = NEW_ARRAY(struct event *, max_events),
        .max_events = max_events,
        .max_bytes = max_bytes,
        .first = first_id,
        .next = first_id,
        .reserved = first_id,
        .reserve = reserve,
        .reserve_arg = arg,
    };
    reserve_next(e);
    return e;
}

static struct event **slot(struct events *e, uint64_t id)
{
    return &e->ring[id % e->max_events];
}

static void drop_oldest(struct events *e)
{
    struct event **at = slot(e, e->first++);

    e->bytes -= (*at)->len;
    event_unref(*at);
    *at = NULL;
}

void events_free(struct events *e)
{
    if (!e)
        return;
    while (e->first < e->next)
        drop_oldest(e);
    free(e->ring);
    free(e);
}

void events_on_publish(struct events *e, void (*wake)(void *arg), void *arg)
{
    e->wake = wake;
    e->wake_arg = arg;
}

uint64_t events_next_id(const struct events *e)
{
    return e->next;
}

void events_publish(struct events *e, const char *kind, const char *job, const char *project,
                    const char *data)
{
    struct event *ev;

    ev = event_new(e->next, kind, job, project, data);
    while (e->first < e->next &&
           (e->next - e->first >= e->max_events || e->bytes + ev->len > e->max_bytes))
        drop_oldest(e);
    *slot(e, e->next++) = ev;
    e->bytes += ev->len;
    reserve_next(e);
    if (e->wake)
        e->wake(e->wake_arg);
}

bool events_cover(const struct events *e, uint64_t last_id)
{
    return last_id < UINT64_MAX && last_id + 1 >= e->first && last_id < e->next;
}

enum events_result events_read(struct events *e, struct event_cursor *c, struct event **out)
{
    if (c->next < e->first) {
        c->next = e->first;
        return EVENTS_LAGGED;
    }
    if (c->next >= e->next)
        return EVENTS_NONE;
    *out = *slot(e, c->next++);
    event_ref(*out);
    return EVENTS_READY;
}
