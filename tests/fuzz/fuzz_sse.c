/* Server-sent events: the same events come out, whatever the pieces in which the stream arrives. */
#include <string.h>

#include "client/sse.h"
#include "tests/fuzz/fuzz.h"

static bool note(const struct sse_event *e, void *arg, struct error *err)
{
    struct buf *out = arg;

    (void)err;
    buf_fmt(out, "%s|%s|%zu|", e->kind, e->id, e->len);
    buf_add(out, e->data, e->len);
    return true;
}

static bool feed(const uint8_t *data, size_t size, size_t piece, struct buf *out)
{
    struct sse s;
    bool ok = true;

    sse_init(&s);
    for (size_t at = 0; ok && at < size; at += piece)
        ok = sse_feed(&s, (const char *)data + at, piece < size - at ? piece : size - at, note, out,
                      NULL);
    sse_free(&s);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = buf_new(0), pieces = buf_new(0);

    PROMISE(feed(data, size, size + 1, &whole) == feed(data, size, 3, &pieces));
    PROMISE(whole.len == pieces.len && memcmp(buf_text(&whole), buf_text(&pieces), whole.len) == 0);
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
