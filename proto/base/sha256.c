#include "proto/base/sha256.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "proto/base/error.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"

struct sha256 {
    EVP_MD_CTX *ctx;
};

/* Looked up once, which takes longer than to hash a secret. The library goes to the end of the process with it. */
static EVP_MD *algorithm;

static void look_up(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    ASSERT(algorithm);
}

struct sha256 *sha256_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sha256 *s = NEW(struct sha256);

    pthread_once(&once, look_up);
    s->ctx = EVP_MD_CTX_new();
    ASSERT(s->ctx && EVP_DigestInit_ex2(s->ctx, algorithm, NULL) == 1);
    return s;
}

void sha256_add(struct sha256 *s, const void *data, size_t len)
{
    pulse_beat(); /* large files take their time */
    if (len)
        ASSERT(EVP_DigestUpdate(s->ctx, data, len) == 1);
}

void sha256_end(struct sha256 *s, char hex[SHA256_HEX])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char sum[SHA256_BYTES];

    ASSERT(EVP_DigestFinal_ex(s->ctx, sum, NULL) == 1);
    for (int i = 0; i < SHA256_BYTES; i++) {
        hex[2 * i] = digits[sum[i] >> 4];
        hex[2 * i + 1] = digits[sum[i] & 15];
    }
    hex[SHA256_HEX - 1] = '\0';
    EVP_MD_CTX_free(s->ctx);
    free(s);
}

void sha256_of(const void *data, size_t len, char hex[SHA256_HEX])
{
    struct sha256 *s = sha256_new();

    sha256_add(s, data, len);
    sha256_end(s, hex);
}
