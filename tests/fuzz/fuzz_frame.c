/* Frames: whatever the pieces in which a stream arrives, the payloads are the same. */
#include <string.h>

#include "proto/wire/frame.h"
#include "tests/fuzz/fuzz.h"

/* Reads as a receiver does that has seen `size` bytes; the payloads go to out, each framed again. */
static enum frame_state read_all(const uint8_t *data, size_t size, struct buf *out)
{
    const unsigned char *payload;
    size_t len, used, at = 0;
    enum frame_state s;
    struct error err;

    while ((s = frame_read(data + at, size - at, &payload, &len, &used, &err)) == FRAME_READY) {
        PROMISE(payload >= data + at && payload + len <= data + size);
        PROMISE(used == len + FRAME_HEADER && used <= size - at && len <= FRAME_MAX);
        PROMISE(frame_write(out, payload, len));
        at += used;
    }
    PROMISE(out->len == at && memcmp(buf_text(out), data, at) == 0);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf all = buf_new(0), part = buf_new(0);
    enum frame_state s = read_all(data, size, &all);

    /* A prefix gives a prefix of the payloads, and a broken stream stays broken. */
    if (size && read_all(data, size / 2, &part) == FRAME_BROKEN)
        PROMISE(s == FRAME_BROKEN);
    PROMISE(part.len <= all.len);
    buf_free(&all);
    buf_free(&part);
    return 0;
}
