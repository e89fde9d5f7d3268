/* HMAC-SHA256 (RFC 2104, FIPS 198-1) and base64 (RFC 4648), by Nettle. */
#ifndef PROTO_BASE_HMAC_H
#define PROTO_BASE_HMAC_H

#include <stddef.h>

#include "proto/base/sha256.h"

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                 unsigned char out[SHA256_BYTES]);

/* Characters of n bytes, with the NUL. */
#define BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)
/* out: BASE64_SIZE(n). Returns out. */
const char *base64(const void *data, size_t n, char *out);

#endif
