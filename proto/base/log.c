#include "proto/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"

static enum log_level threshold = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    threshold = level;
}

enum {
    LINE_MAX_BYTES = 4096 /* also of several lines at a time: pipes take no more in one piece */
};

/* How many bytes of s are one character, of UTF-8; 0 for a control character, and where there is none. */
static size_t printable(const unsigned char *s, size_t n)
{
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

/* What a user or a peer chose must not forge a line or steer a terminal. */
static void clean(char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t len = printable((const unsigned char *)text + i, n - i);

        if (!len)
            text[i] = '?';
        i += len ? len : 1;
    }
}

__attribute__((format(printf, 3, 0))) static size_t make_line(char line[LINE_MAX_BYTES],
                                                              enum log_level level, const char *fmt,
                                                              va_list ap)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char when[CLOCK_TEXT];
    size_t n;
    int k;

    n = (size_t)snprintf(line, LINE_MAX_BYTES, "%s %s ", clock_text(clock_wall_ms(), when),
                         names[level]);
    k = vsnprintf(line + n, LINE_MAX_BYTES - n, fmt, ap);
    n += k < 0 ? 0 : (size_t)k;
    if (n > LINE_MAX_BYTES - 2)
        n = LINE_MAX_BYTES - 2;
    clean(line, n);
    line[n++] = '\n';
    return n;
}

/* One write, so that lines of several threads and processes do not mix. */
static void write_lines(const char *text, size_t len)
{
    if (len && write(STDERR_FILENO, text, len) < 0)
        return;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;

    if (level < threshold)
        return;
    va_start(ap, fmt);
    write_lines(line, make_line(line, level, fmt, ap));
    va_end(ap);
}

void log_add(struct buf *lines, enum log_level level, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;
    size_t n;

    if (level < threshold)
        return;
    va_start(ap, fmt);
    n = make_line(line, level, fmt, ap);
    va_end(ap);
    if (lines->len + n > LINE_MAX_BYTES)
        log_flush(lines);
    buf_add(lines, line, n);
}

void log_flush(struct buf *lines)
{
    write_lines(lines->data, lines->len);
    buf_reset(lines);
}
