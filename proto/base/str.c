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
