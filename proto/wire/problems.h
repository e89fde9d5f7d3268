/* Everything that is wrong with a request, collected so that it can be reported at once. Each problem
 * names its place by a JSON pointer in fragment form (RFC 6901): "#/optimizer/lr". */
#ifndef PROTO_WIRE_PROBLEMS_H
#define PROTO_WIRE_PROBLEMS_H

#include <stdbool.h>

#include "proto/base/error.h"
#include "proto/base/json.h"
#include "proto/base/vec.h"

enum {
    PROBLEMS_MAX = 100 /* what comes after is dropped; the last one says so */
};

struct problem {
    char *pointer;
    char *detail;
};

struct problems {
    VEC(struct problem) list;
};

void problems_add(struct problems *p, const char *pointer, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The numbers of a list are not negative, and each stands there once. what: one of them, "seed". */
void problems_check_set(struct problems *p, const char *pointer, const char *what,
                        const int32_t *numbers, size_t n);
void problems_free(struct problems *p);

/* [{"pointer": .., "detail": ..}], the extension member `errors` of RFC 9457 answers. */
struct json *problems_json(const struct problems *p);
/* False with ERR_INVALID and all problems in one message, or true when there are none. */
bool problems_none(const struct problems *p, struct error *err);

#endif
