/* Ranges of internet addresses: which of them a request that somebody else asked for may reach. */
#ifndef DAEMON_NETBLOCK_H
#define DAEMON_NETBLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proto/base/error.h"

struct netblock {
    uint8_t address[16]; /* in network order, of IPv4 as IPv6 maps it (RFC 4291, 2.5.5.2) */
    unsigned bits;       /* of those 128 that count */
};

enum {
    NETBLOCK_TEXT = 46 /* an address as text, with the NUL */
};

/* "10.0.0.0/8", "fc00::/7", or one address. ERR_INVALID. */
bool netblock_parse(const char *text, struct netblock *out, struct error *err);
/* False for what is not an internet address. */
bool netblock_has(const struct netblock *b, const struct sockaddr *a);
/* That is in none of the ranges that the registries of special addresses set apart (RFC 6890 and its
 * successors): not this host, not a private network, not an address of many. */
bool address_is_public(const struct sockaddr *a);
const char *address_text(const struct sockaddr *a, char out[NETBLOCK_TEXT]);

#endif
