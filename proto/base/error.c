#include "proto/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int exit_status;
    int http_status;
} rows[ERR_CODE_COUNT] = {
    [ERR_NONE] = {"none", 0, 200},
    [ERR_FAILED] = {"failed", 1, 500},
    [ERR_INVALID] = {"invalid", 2, 422},
    [ERR_DATA] = {"bad_data", 65, 422},
    [ERR_IO] = {"io", 1, 503},
    [ERR_FULL] = {"storage_exhausted", 1, 507},
    [ERR_BUSY] = {"storage_busy", 75, 503},
    [ERR_UNSUPPORTED] = {"unsupported", 2, 422},
    [ERR_NOT_FOUND] = {"not_found", 2, 404},
    [ERR_GONE] = {"gone", 2, 410},
    [ERR_CONFLICT] = {"conflict", 1, 409},
    [ERR_TOO_LARGE] = {"too_large", 2, 413},
    [ERR_UNAUTHORIZED] = {"unauthorized", 2, 401},
    [ERR_FORBIDDEN] = {"forbidden", 2, 403},
    [ERR_UNREACHABLE] = {"unreachable", 5, 503},
    [ERR_TIMEOUT] = {"timeout", 4, 504},
    [ERR_CANCELLED] = {"cancelled", 3, 409},
    [ERR_STOPPED] = {"stopped", 75, 503},
    [ERR_QUOTA] = {"quota_exceeded", 1, 429},
};

bool err_set(struct error *err, enum err_code code, const char *fmt, ...)
{
    va_list ap;

    if (!err)
        return false;
    err->code = code;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    return false;
}

/* As much of the text as there is room for. */
static void append(struct error *err, size_t at, const char *text)
{
    size_t room = sizeof(err->msg) - 1 - at, n = strlen(text);

    if (n > room)
        n = room;
    memcpy(err->msg + at, text, n);
    err->msg[at + n] = '\0';
}

bool err_wrap(struct error *err, const char *fmt, ...)
{
    char old[sizeof(err->msg)];
    va_list ap;
    int n;

    if (!err)
        return false;
    memcpy(old, err->msg, sizeof(old));
    va_start(ap, fmt);
    n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(err->msg)) {
        append(err, (size_t)n, ": ");
        append(err, strlen(err->msg), old);
    }
    return false;
}

bool err_named_file(struct error *err)
{
    if (err && (err->code == ERR_IO || err->code == ERR_NOT_FOUND || err->code == ERR_TOO_LARGE))
        err->code = ERR_INVALID;
    return false;
}

void err_clear(struct error *err)
{
    if (!err)
        return;
    err->code = ERR_NONE;
    err->msg[0] = '\0';
}

int err_exit_status(enum err_code code)
{
    return rows[code].exit_status;
}

int err_http_status(enum err_code code)
{
    return rows[code].http_status;
}

const char *err_name(enum err_code code)
{
    return rows[code].name;
}

void assert_failed(const char *file, int line, const char *cond)
{
    fprintf(stderr, "%s:%d: assertion failed: %s (this is a defect; please report it)\n", file,
            line, cond);
    abort();
}
