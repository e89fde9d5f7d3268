#include "proto/base/hmac.h"

#include <nettle/base64.h>
#include <nettle/hmac.h>

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                 unsigned char out[SHA256_BYTES])
{
    struct hmac_sha256_ctx ctx;

    hmac_sha256_set_key(&ctx, key_len, key);
    hmac_sha256_update(&ctx, len, data);
    hmac_sha256_digest(&ctx, SHA256_BYTES, out);
}

const char *base64(const void *data, size_t n, char *out)
{
    base64_encode_raw(out, n, data);
    out[BASE64_SIZE(n) - 1] = '\0';
    return out;
}
