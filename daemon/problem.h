/* Refusals as problem documents (RFC 9457). The type of each is a page that this daemon serves. */
#ifndef DAEMON_PROBLEM_H
#define DAEMON_PROBLEM_H

#include "daemon/reply.h"
#include "proto/wire/problems.h"

/* One row per kind of refusal; `code` is its name in the API. */
struct problem_kind {
    const char *code;
    int status;
    const char *title;
    const char *text; /* for the page: what it means and what helps */
};

extern const struct problem_kind problem_kinds[];
extern const size_t n_problem_kinds;

/* NULL for an unknown code. */
const struct problem_kind *problem_find(const char *code);

/* errors: what is wrong with the body, or NULL. code: one of the table. */
void problem_reply(struct request *r, const char *code, const struct problems *errors,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The same with Retry-After. */
void problem_reply_later(struct request *r, const char *code, int64_t after_s, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* By the error's code. */
void problem_reply_error(struct request *r, const struct error *err);

#endif
