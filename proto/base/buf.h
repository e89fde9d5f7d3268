/* A byte buffer that grows up to a maximum given at birth: what comes from outside cannot make it
 * larger. Always followed by a NUL byte, so that text can be read in place. */
#ifndef PROTO_BASE_BUF_H
#define PROTO_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct buf {
    char *data; /* NULL until there was room for something */
    size_t len;
    size_t cap; /* of data; no more than the maximum and the NUL take */
    size_t max; /* bytes; 0 means no limit, for text that we make ourselves */
};

struct buf buf_new(size_t max);
void buf_free(struct buf *b);
void buf_reset(struct buf *b); /* empties it and keeps the memory */

/* Room for `more` bytes and the NUL; false when the maximum would be passed. */
bool buf_reserve(struct buf *b, size_t more);

/* False, with nothing added, when the maximum would be passed. In place, as most of JSON is written by a few bytes. */
static inline bool buf_add(struct buf *b, const void *data, size_t len)
{
    if (len >= b->cap - b->len && !buf_reserve(b, len))
        return false;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return true;
}

static inline bool buf_str(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

bool buf_fmt(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool buf_vfmt(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);
/* Never NULL. */
const char *buf_text(const struct buf *b);
/* Hands the memory over (free()); the buffer is empty afterwards. Never NULL. */
char *buf_take(struct buf *b);

#endif
