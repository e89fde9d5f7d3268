#include "daemon/etag.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/sha256.h"

enum {
    SETTLED_MS = 50, /* times of files move in steps of a timer tick, 10 ms at most */
    HASH_DIGITS = 32,
    STATE_DIGITS = 20
};

void etag_of_bytes(const void *data, size_t len, char out[ETAG_SIZE])
{
    char hex[SHA256_HEX];

    sha256_of(data, len, hex);
    snprintf(out, ETAG_SIZE, "\"%.*s\"", HASH_DIGITS, hex);
}

void etag_of_state(const char *state, const void *data, size_t len, char out[ETAG_SIZE])
{
    char first[SHA256_HEX], second[SHA256_HEX];

    sha256_of(state, strlen(state), first);
    sha256_of(data, len, second);
    snprintf(out, ETAG_SIZE, "\"%.*s-%.*s\"", STATE_DIGITS, first, HASH_DIGITS, second);
}

void etag_of_revision(int64_t run, uint64_t revision, const char *query, char out[ETAG_SIZE])
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

    for (; *query; query++)
        hash = (hash ^ (unsigned char)*query) * UINT64_C(1099511628211);
    snprintf(out, ETAG_SIZE, "\"r%" PRIx64 "-%" PRIx64 "-%" PRIx64 "\"", (uint64_t)run, revision,
             hash);
}

bool etag_of_file(const struct stat *st, int64_t wall_ms, char out[ETAG_SIZE])
{
    int64_t changed_ms = (int64_t)st->st_ctim.tv_sec * 1000 + st->st_ctim.tv_nsec / 1000000;

    snprintf(out, ETAG_SIZE, "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%lx\"", (uint64_t)st->st_ino,
             (uint64_t)st->st_size, (uint64_t)st->st_ctim.tv_sec,
             (unsigned long)st->st_ctim.tv_nsec);
    return wall_ms - changed_ms >= SETTLED_MS;
}

/* What stands between two commas. A comma inside of a tag splits it, and then it is none of ours. */
typedef bool (*tag_fits)(const char *at, size_t len, const char *etag);

static bool is_same(const char *at, size_t len, const char *etag)
{
    if (len > 2 && memcmp(at, "W/", 2) == 0) {
        at += 2;
        len -= 2;
    }
    return len == strlen(etag) && memcmp(at, etag, len) == 0;
}

static bool is_of_state(const char *at, size_t len, const char *etag)
{
    const size_t state = 1 + STATE_DIGITS + 1; /* with the quote and the dash */

    return len == strlen(etag) && len > state && at[len - 1] == '"' && memcmp(at, etag, state) == 0;
}

static bool is_tag(const char *at, size_t len, const char *etag, tag_fits fits)
{
    while (len && (*at == ' ' || *at == '\t')) {
        at++;
        len--;
    }
    while (len && (at[len - 1] == ' ' || at[len - 1] == '\t'))
        len--;
    return (len == 1 && *at == '*') || fits(at, len, etag);
}

static bool listed(const char *text, size_t len, const char *etag, tag_fits fits)
{
    const char *end = text + len;

    while (text < end) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma ? comma : end;

        if (is_tag(text, (size_t)(stop - text), etag, fits))
            return true;
        text = comma ? comma + 1 : end;
    }
    return false;
}

bool etag_listed(const char *text, size_t len, const char *etag)
{
    return listed(text, len, etag, is_same);
}

bool etag_matches(const char *text, size_t len, const char *etag)
{
    return listed(text, len, etag, is_of_state);
}
