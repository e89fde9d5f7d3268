#include "proto/base/str.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"

char *str_dup(const char *s)
{
    return str_ndup(s, strlen(s));
}

char *str_ndup(const char *s, size_t n)
{
    char *p = mem_calloc(n + 1, 1);

    memcpy(p, s, n);
    return p;
}

char *str_fmt(const char *fmt, ...)
{
    struct buf b = buf_new(0);
    va_list ap;

    va_start(ap, fmt);
    buf_vfmt(&b, fmt, ap);
    va_end(ap);
    return buf_take(&b);
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);

    return n >= k && strcmp(s + n - k, suffix) == 0;
}

bool str_int(const char *s, int64_t lo, int64_t hi, int64_t *out)
{
    char *end;
    long long v;

    if (!*s || strchr(" \t\n\r\v\f+", *s))
        return false;
    errno = 0;
    v = strtoll(s, &end, 10);
    if (errno || *end || v < lo || v > hi)
        return false;
    *out = v;
    return true;
}

bool str_double(const char *s, double *out)
{
    char *end;
    double v;

    if (!*s || strchr(" \t\n\r\v\f+", *s))
        return false;
    v = strtod(s, &end);
    if (*end || !isfinite(v))
        return false;
    *out = v;
    return true;
}

char *str_path(const char *dir, const char *name)
{
    if (name[0] == '/')
        return str_dup(name);
    return str_fmt("%s%s%s", dir, str_ends(dir, "/") ? "" : "/", name);
}

size_t str_printable(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    /* Where fewer bytes than usual can be second: C1 controls, overlong forms, surrogates, beyond Unicode. */
    static const struct {
        unsigned char first, low, high;
    } narrow[] = {
        {0xc2, 0xa0, 0xbf}, {0xe0, 0xa0, 0xbf}, {0xed, 0x80, 0x9f},
        {0xf0, 0x90, 0xbf}, {0xf4, 0x80, 0x8f},
    };
    const size_t len = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

    if (len == 1)
        return s[0] >= ' ' && s[0] != 0x7f;
    if (s[0] < 0xc2 || s[0] > 0xf4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    for (size_t i = 0; i < ARRAY_LEN(narrow); i++)
        if (s[0] == narrow[i].first && (s[1] < narrow[i].low || s[1] > narrow[i].high))
            return 0;
    return len;
}
