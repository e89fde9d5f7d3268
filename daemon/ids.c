/* The 26 characters are a ULID: 48 bits of milliseconds and 80 random bits in Crockford's base 32,
 * whose alphabet is in ASCII order, so that text order is time order. */
#include "daemon/ids.h"

#include <string.h>

#include "daemon/secret.h"
#include "proto/base/str.h"

static const char prefix[] = "job_";
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

enum {
    PREFIX = sizeof(prefix) - 1,
    TIME_CHARS = 10,
    CHARS = JOB_ID_SIZE - 1 - PREFIX
};

/* Adds one to a number in base 32. */
static void increment(char *digits, size_t n)
{
    while (n--) {
        const char *c = strchr(alphabet, digits[n]);

        if (c[1]) {
            digits[n] = c[1];
            return;
        }
        digits[n] = alphabet[0];
    }
}

/* The prefix and the time. */
static void write_time(int64_t wall_ms, char out[JOB_ID_SIZE])
{
    uint64_t ms = (uint64_t)wall_ms;

    memcpy(out, prefix, PREFIX);
    for (size_t i = 0; i < TIME_CHARS; i++, ms >>= 5)
        out[PREFIX + TIME_CHARS - 1 - i] = alphabet[ms & 31];
}

void id_first(int64_t wall_ms, char out[JOB_ID_SIZE])
{
    write_time(wall_ms, out);
    memset(out + PREFIX + TIME_CHARS, alphabet[0], CHARS - TIME_CHARS);
    out[JOB_ID_SIZE - 1] = '\0';
}

void id_next(const char *last, int64_t wall_ms, char out[JOB_ID_SIZE])
{
    unsigned char random[CHARS - TIME_CHARS];

    write_time(wall_ms, out);
    /* Of the same millisecond, or while the clock stands before it: the next number. Many come at once. */
    if (id_valid(last) && memcmp(out, last, PREFIX + TIME_CHARS) <= 0) {
        memcpy(out, last, JOB_ID_SIZE);
        increment(out + PREFIX, CHARS);
        return;
    }
    secret_bytes(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        out[PREFIX + TIME_CHARS + i] = alphabet[random[i] & 31];
    out[JOB_ID_SIZE - 1] = '\0';
}

bool id_valid(const char *id)
{
    return strlen(id) == JOB_ID_SIZE - 1 && str_starts(id, prefix) &&
           strspn(id + PREFIX, alphabet) == CHARS;
}
