#include "daemon/trace.h"

#include <stdio.h>
#include <string.h>

#include "daemon/secret.h"
#include "proto/base/mem.h"

/* Where the parts begin in "00-TRACE-SPAN-FLAGS". */
enum {
    TRACE_AT = 3,
    SPAN_AT = 36,
    FLAGS_AT = 53,
    LENGTH = TRACE_SIZE - 1,
    SPAN_BYTES = 8
};

static bool is_hex(const char *text, size_t n)
{
    return strspn(text, "0123456789abcdef") >= n;
}

static bool is_zero(const char *text, size_t n)
{
    return strspn(text, "0") >= n;
}

static bool has_form(const char *h)
{
    return h && strlen(h) >= LENGTH && is_hex(h, 2) && h[2] == '-' && is_hex(h + TRACE_AT, 32) &&
           h[SPAN_AT - 1] == '-' && is_hex(h + SPAN_AT, 16) && h[FLAGS_AT - 1] == '-' &&
           is_hex(h + FLAGS_AT, 2);
}

/* Version 0 ends there; of later ones it is known only that they go on with a dash. */
static bool ends_well(const char *h)
{
    return !h[LENGTH] || (h[LENGTH] == '-' && strncmp(h, "00", 2) != 0);
}

bool trace_parse(const char *header, char out[TRACE_SIZE])
{
    bool ok = has_form(header) && ends_well(header) && strncmp(header, "ff", 2) != 0 &&
              !is_zero(header + TRACE_AT, 32) && !is_zero(header + SPAN_AT, 16);

    snprintf(out, TRACE_SIZE, "%s%.*s", ok ? "00" : "", ok ? LENGTH - 2 : 0, ok ? header + 2 : "");
    return ok;
}

void trace_below(const char *parent, char out[TRACE_SIZE])
{
    unsigned char bytes[SPAN_BYTES];

    snprintf(out, TRACE_SIZE, "%s", parent);
    if (!*parent)
        return;
    secret_bytes(bytes, sizeof(bytes));
    bytes[0] |= 1; /* a span is not zero */
    for (int i = 0; i < SPAN_BYTES; i++) {
        static const char digits[] = "0123456789abcdef";

        out[SPAN_AT + 2 * i] = digits[bytes[i] >> 4];
        out[SPAN_AT + 2 * i + 1] = digits[bytes[i] & 15];
    }
}
