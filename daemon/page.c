#include "daemon/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/sha256.h"
#include "proto/base/str.h"

enum {
    KEY_DIGITS = 16,
    SEAL_DIGITS = 16
};

void page_token(const char *secret, const char *filter, int64_t seq, char out[PAGE_TOKEN_SIZE])
{
    char *text = str_fmt("%s\n%s\n%" PRId64 "\n%s", secret, filter, seq, secret);
    char hex[SHA256_HEX];

    sha256_of(text, strlen(text), hex);
    snprintf(out, PAGE_TOKEN_SIZE, "%0*" PRIx64 "%.*s", KEY_DIGITS, (uint64_t)seq, SEAL_DIGITS,
             hex);
    free(text);
}

bool page_token_read(const char *secret, const char *filter, const char *token, int64_t *seq)
{
    char key[KEY_DIGITS + 1], want[PAGE_TOKEN_SIZE];

    snprintf(key, sizeof(key), "%s", token);
    *seq = (int64_t)strtoull(key, NULL, 16);
    page_token(secret, filter, *seq, want);
    return strcmp(token, want) == 0;
}

void page_add_parameter(struct buf *b, const char *name, const char *value)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    if (!value)
        return;
    buf_fmt(b, "&%s=", name);
    for (; *value; value++)
        buf_fmt(b, strchr(plain, *value) ? "%c" : "%%%02X", (unsigned char)*value);
}
