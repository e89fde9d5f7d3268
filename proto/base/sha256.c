#include "proto/base/sha256.h"

#include <nettle/sha2.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/pulse.h"

struct sha256 {
    struct sha256_ctx ctx;
};

struct sha256 *sha256_new(void)
{
    struct sha256 *s = NEW(struct sha256);

    sha256_init(&s->ctx);
    return s;
}

void sha256_add(struct sha256 *s, const void *data, size_t len)
{
    pulse_beat(); /* large files take their time */
    sha256_update(&s->ctx, len, data);
}

void sha256_end(struct sha256 *s, char hex[SHA256_HEX])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char sum[SHA256_BYTES];

    sha256_digest(&s->ctx, sizeof(sum), sum);
    for (int i = 0; i < SHA256_BYTES; i++) {
        hex[2 * i] = digits[sum[i] >> 4];
        hex[2 * i + 1] = digits[sum[i] & 15];
    }
    hex[SHA256_HEX - 1] = '\0';
    free(s);
}

void sha256_of(const void *data, size_t len, char hex[SHA256_HEX])
{
    struct sha256 *s = sha256_new();

    sha256_add(s, data, len);
    sha256_end(s, hex);
}
