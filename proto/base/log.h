/* Log lines on standard error: `2026-01-31T12:00:00.123Z info message key=value ...`.
 * The message comes first as plain words, facts follow as key=value. Any thread. */
#ifndef PROTO_BASE_LOG_H
#define PROTO_BASE_LOG_H

#include "proto/base/buf.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR
};

/* Lines below this level are dropped. Default: info. */
void log_set_level(enum log_level level);
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Of lines that come together: keeps them, and writes many of them by one call of the kernel. The last ones at
 * log_flush, after which `lines` is empty. */
void log_add(struct buf *lines, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void log_flush(struct buf *lines);

#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
