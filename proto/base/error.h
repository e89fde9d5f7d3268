/* Errors that travel upward with their story. A function that can fail returns false or NULL and
 * fills a struct error: set where it happens with the facts, wrapped where the reason is known,
 * logged once, where it is handled. */
#ifndef PROTO_BASE_ERROR_H
#define PROTO_BASE_ERROR_H

#include <stdbool.h>
#include <stddef.h>

enum err_code {
    ERR_NONE,
    ERR_FAILED,      /* it ran and did not work out */
    ERR_INVALID,     /* an invalid job, request or flag */
    ERR_DATA,        /* a data, model or class-mean file that cannot be used */
    ERR_IO,          /* the operating system refused */
    ERR_FULL,        /* there is no room on the disk */
    ERR_BUSY,        /* another program holds what is needed */
    ERR_UNSUPPORTED, /* well formed, but not something this program can do */
    ERR_NOT_FOUND,
    ERR_GONE,     /* it was there, and was removed for good */
    ERR_CONFLICT, /* not in the present state */
    ERR_TOO_LARGE,
    ERR_UNAUTHORIZED,
    ERR_FORBIDDEN,
    ERR_UNREACHABLE,
    ERR_TIMEOUT,
    ERR_CANCELLED,
    ERR_STOPPED, /* stopped at a step boundary; can be resumed */
    ERR_QUOTA,   /* as much as is allowed is there already; later there may be room */
    ERR_CODE_COUNT
};

struct error {
    enum err_code code;
    char msg[2000];
};

/* Both return false, so that a caller can write `return err_set(...)`. err may be NULL. */
bool err_set(struct error *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "fmt: " in front of the message that is already there. */
bool err_wrap(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Always false. The failure to read a file that was named on the command line: wrong usage, whatever
 * the operating system said. */
bool err_named_file(struct error *err);

void err_clear(struct error *err);

/* One row per code: how a program ends and how the HTTP interface answers. Exit statuses are
 * those of sysexits where one fits (65 bad data, 75 try again); 2 says that the call itself was wrong
 * and would be so again: also a job that does not exist, a token that is not the server's. */
int err_exit_status(enum err_code code);
int err_http_status(enum err_code code);
const char *err_name(enum err_code code);

/* Our own mistakes, in contrast to the user's: print where and abort. */
#define ASSERT(cond) ((cond) ? (void)0 : assert_failed(__FILE__, __LINE__, #cond))
_Noreturn void assert_failed(const char *file, int line, const char *cond);

#endif
