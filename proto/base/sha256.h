/* SHA-256 (FIPS 180-4), by Nettle. */
#ifndef PROTO_BASE_SHA256_H
#define PROTO_BASE_SHA256_H

#include <stddef.h>

enum {
    SHA256_BYTES = 32,
    SHA256_HEX = 65 /* with the NUL */
};

struct sha256;
struct sha256 *sha256_new(void);
void sha256_add(struct sha256 *s, const void *data, size_t len);
/* Writes 64 lower-case hexadecimal digits and a NUL, and releases s. */
void sha256_end(struct sha256 *s, char hex[SHA256_HEX]);
void sha256_of(const void *data, size_t len, char hex[SHA256_HEX]);

#endif
