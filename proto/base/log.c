#include "proto/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/base/clock.h"

static enum log_level threshold = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    threshold = level;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char line[4096], when[CLOCK_TEXT];
    size_t n;
    int k;
    va_list ap;

    if (level < threshold)
        return;
    n = (size_t)snprintf(line, sizeof(line), "%s %s ", clock_text(clock_wall_ms(), when),
                         names[level]);
    va_start(ap, fmt);
    k = vsnprintf(line + n, sizeof(line) - n, fmt, ap);
    va_end(ap);
    n += k < 0 ? 0 : (size_t)k;
    if (n > sizeof(line) - 2)
        n = sizeof(line) - 2;
    /* A name that a user chose must not forge a line or steer a terminal. */
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    line[n++] = '\n';
    /* One write a line, so that lines of several threads and processes do not mix. */
    if (write(STDERR_FILENO, line, n) < 0)
        return;
}
