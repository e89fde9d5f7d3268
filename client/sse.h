/* Server-sent events (WHATWG HTML, 9.2): bytes in any pieces -> events. */
#ifndef CLIENT_SSE_H
#define CLIENT_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/error.h"

enum {
    SSE_MAX_BYTES = 8 << 20 /* of one event */
};

struct sse_event {
    const char *kind; /* "message" when the server names none */
    const char *data;
    size_t len;
    const char *id; /* last one seen, "" before the first */
};

struct sse {
    struct buf line, kind, data, id;
    int64_t retry_ms; /* what the server asked for; -1: nothing */
    bool after_cr, started, has_data;
};

/* False stops the stream. What the event points to lives until it returns. */
typedef bool (*sse_fn)(const struct sse_event *e, void *arg, struct error *err);

void sse_init(struct sse *s);
void sse_free(struct sse *s);
/* For a new connection: forgets a half event, keeps the last id. */
void sse_restart(struct sse *s);
/* False when fn said so, or with ERR_TOO_LARGE. */
bool sse_feed(struct sse *s, const char *bytes, size_t len, sse_fn fn, void *arg,
              struct error *err);

#endif
