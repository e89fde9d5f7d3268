#include "proto/base/hmac.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "proto/base/error.h"

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                 unsigned char out[SHA256_BYTES])
{
    ASSERT(key_len <= INT_MAX && HMAC(EVP_sha256(), key, (int)key_len, data, len, out, NULL));
}

const char *base64(const void *data, size_t n, char *out)
{
    ASSERT(n <= INT_MAX / 2);
    EVP_EncodeBlock((unsigned char *)out, data, (int)n);
    return out;
}
