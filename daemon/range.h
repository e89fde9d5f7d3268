/* The Range header (RFC 9110, 14.2): one part of a body. */
#ifndef DAEMON_RANGE_H
#define DAEMON_RANGE_H

#include <stddef.h>
#include <stdint.h>

enum range_kind {
    RANGE_WHOLE, /* not one range of bytes: the header is ignored */
    RANGE_PART,
    RANGE_OUTSIDE /* no byte of the body lies in it */
};

/* The header's value against a body of `size` bytes; from and count are set for RANGE_PART. */
enum range_kind range_parse(const char *text, size_t len, uint64_t size, uint64_t *from,
                            uint64_t *count);

#endif
