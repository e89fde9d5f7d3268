/* Frames on a stream: a 4-byte little-endian length and that many bytes. Reading is incremental and
 * never trusts the length. */
#ifndef PROTO_WIRE_FRAME_H
#define PROTO_WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/error.h"

enum {
    FRAME_MAX = 1 << 20,
    FRAME_HEADER = 4
};

/* Appends one frame. False when the payload is larger than FRAME_MAX or out is full. */
bool frame_write(struct buf *out, const void *payload, size_t len);

enum frame_state {
    FRAME_READY,   /* a payload was found */
    FRAME_PARTIAL, /* more bytes are needed */
    FRAME_BROKEN   /* the length is over the limit; the stream cannot go on */
};

/* Looks for a frame at the front of [data, data+len). When READY, *payload points into data and
 * *used is the number of bytes to drop. BROKEN fills err. */
enum frame_state frame_read(const void *data, size_t len, const unsigned char **payload,
                            size_t *payload_len, size_t *used, struct error *err);

#endif
