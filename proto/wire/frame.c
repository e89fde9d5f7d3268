#include "proto/wire/frame.h"

#include <stdint.h>

bool frame_write(struct buf *out, const void *payload, size_t len)
{
    unsigned char header[FRAME_HEADER];

    if (len > FRAME_MAX || (out->max && out->len + FRAME_HEADER + len > out->max))
        return false;
    for (int i = 0; i < FRAME_HEADER; i++)
        header[i] = (unsigned char)(len >> (8 * i));
    return buf_add(out, header, sizeof(header)) && buf_add(out, payload, len);
}

enum frame_state frame_read(const void *data, size_t len, const unsigned char **payload,
                            size_t *payload_len, size_t *used, struct error *err)
{
    const unsigned char *p = data;
    uint32_t size = 0;

    if (len < FRAME_HEADER)
        return FRAME_PARTIAL;
    for (int i = 0; i < FRAME_HEADER; i++)
        size |= (uint32_t)p[i] << (8 * i);
    if (size > FRAME_MAX) {
        err_set(err, ERR_TOO_LARGE, "frame of %lu bytes; the limit is %d", (unsigned long)size,
                FRAME_MAX);
        return FRAME_BROKEN;
    }
    if (len - FRAME_HEADER < size)
        return FRAME_PARTIAL;
    *payload = p + FRAME_HEADER;
    *payload_len = size;
    *used = FRAME_HEADER + size;
    return FRAME_READY;
}
