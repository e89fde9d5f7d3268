#include "proto/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/str.h"

static enum log_level threshold = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    threshold = level;
}

enum {
    LINE_MAX_BYTES = 4096 /* also of several lines at a time: pipes take no more in one piece */
};

/* What a user or a peer chose must not forge a line or steer a terminal. */
static void clean(char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t len = str_printable(text + i, n - i);

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
