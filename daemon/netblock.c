#include "daemon/netblock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

/* IANA's registries of special-purpose addresses, multicast, and what embeds an IPv4 address, behind which
 * any of those may stand. */
static const char *const special[] = {
    "0.0.0.0/8",     "10.0.0.0/8",      "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",    "240.0.0.0/4",
    "::/96",         "64:ff9b::/96",    "64:ff9b:1::/48", "100::/64",       "2001::/23",
    "2001:db8::/32", "2002::/16",       "3fff::/20",      "5f00::/16",      "fc00::/7",
    "fe80::/10",     "fec0::/10",       "ff00::/8",
};

static bool read_address(const char *text, struct netblock *out)
{
    if (inet_pton(AF_INET6, text, out->address) == 1) {
        out->bits = 0;
        return true;
    }
    memcpy(out->address, mapped, sizeof(mapped));
    out->bits = 96;
    return inet_pton(AF_INET, text, out->address + sizeof(mapped)) == 1;
}

bool netblock_parse(const char *text, struct netblock *out, struct error *err)
{
    const char *slash = strchr(text, '/');
    char address[NETBLOCK_TEXT];
    int64_t bits;

    snprintf(address, sizeof(address), "%.*s", slash ? (int)(slash - text) : NETBLOCK_TEXT, text);
    if (!read_address(address, out))
        return err_set(err, ERR_INVALID,
                       "expected ADDRESS or ADDRESS/BITS, as 10.0.0.0/8, got \"%.80s\"", text);
    bits = 128 - out->bits;
    if (slash && !str_int(slash + 1, 0, bits, &bits))
        return err_set(err, ERR_INVALID, "\"%.80s\": the bits must be a number from 0 to %d", text,
                       (int)bits);
    out->bits += (unsigned)bits;
    return true;
}

static bool take_address(const struct sockaddr *a, uint8_t out[16])
{
    if (a->sa_family == AF_INET6) {
        memcpy(out, &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, 16);
        return true;
    }
    memcpy(out, mapped, sizeof(mapped));
    memcpy(out + sizeof(mapped), &((const struct sockaddr_in *)(const void *)a)->sin_addr, 4);
    return a->sa_family == AF_INET;
}

bool netblock_has(const struct netblock *b, const struct sockaddr *a)
{
    const size_t whole = b->bits / 8;
    const unsigned rest = b->bits % 8;
    uint8_t bytes[16];

    return take_address(a, bytes) && memcmp(bytes, b->address, whole) == 0 &&
           (!rest || (bytes[whole] ^ b->address[whole]) >> (8 - rest) == 0);
}

bool address_is_public(const struct sockaddr *a)
{
    struct netblock b;

    if (a->sa_family != AF_INET && a->sa_family != AF_INET6)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(special); i++) {
        ASSERT(netblock_parse(special[i], &b, NULL));
        if (netblock_has(&b, a))
            return false;
    }
    return true;
}

const char *address_text(const struct sockaddr *a, char out[NETBLOCK_TEXT])
{
    uint8_t bytes[16];

    if (!take_address(a, bytes))
        return "?";
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
        return inet_ntop(AF_INET, bytes + sizeof(mapped), out, NETBLOCK_TEXT);
    return inet_ntop(AF_INET6, bytes, out, NETBLOCK_TEXT);
}
