#include "proto/base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

enum {
    FIRST_CAP = 64
};

struct buf buf_new(size_t max)
{
    return (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.max = b->max};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

bool buf_reserve(struct buf *b, size_t more)
{
    size_t cap = b->cap ? b->cap : FIRST_CAP;

    if (more > SIZE_MAX / 4 - b->len || (b->max && b->len + more > b->max))
        return false;
    while (cap < b->len + more + 1)
        cap *= 2;
    if (b->max && cap > b->max + 1)
        cap = b->max + 1;
    if (cap != b->cap) {
        b->data = mem_realloc(b->data, cap, 1);
        b->data[b->len] = '\0';
        b->cap = cap;
    }
    return true;
}

bool buf_vfmt(struct buf *b, const char *fmt, va_list ap)
{
    char text[256]; /* most texts fit, and are made once */
    va_list again;
    bool ok;
    int n;

    va_copy(again, ap);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    ok = n >= 0 && buf_reserve(b, (size_t)n);
    if (ok && (size_t)n < sizeof(text))
        memcpy(b->data + b->len, text, (size_t)n + 1);
    else if (ok)
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
    if (ok)
        b->len += (size_t)n;
    va_end(again);
    return ok;
}

bool buf_fmt(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    bool ok;

    va_start(ap, fmt);
    ok = buf_vfmt(b, fmt, ap);
    va_end(ap);
    return ok;
}

void buf_consume(struct buf *b, size_t n)
{
    if (n >= b->len) {
        buf_reset(b);
        return;
    }
    memmove(b->data, b->data + n, b->len - n + 1);
    b->len -= n;
}

const char *buf_text(const struct buf *b)
{
    return b->data ? b->data : "";
}

char *buf_take(struct buf *b)
{
    char *text;

    if (!b->data)
        buf_reserve(b, 0);
    text = mem_realloc(b->data, b->len + 1, 1); /* it may be kept for long */
    text[b->len] = '\0';
    b->data = NULL;
    buf_free(b);
    return text;
}
