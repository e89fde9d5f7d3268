/* The members that a request's body may have, held against a table: all that is wrong is told at once. */
#ifndef DAEMON_BODY_H
#define DAEMON_BODY_H

#include "daemon/http.h"
#include "proto/base/json.h"
#include "proto/wire/problems.h"

struct member {
    const char *name;
    enum js_kind kind;
    bool required;
    /* What else it must be: false with the reason. NULL: nothing. */
    bool (*check)(const struct json *value, struct error *err);
};

/* The body, or NULL when the answer was given; js_free. `what` it is, with its article. null stands for a
 * member that is left out. */
struct json *body_read(struct request *r, const char *what, const struct member *members, size_t n);

/* Checks for members. */
bool body_is_name(const struct json *value, struct error *err);   /* of a model or data set */
bool body_is_sha256(const struct json *value, struct error *err); /* 64 hexadecimal digits */
bool body_is_count(const struct json *value, struct error *err);  /* 1 or more */
bool body_is_labels(const struct json *value, struct error *err); /* at most 64 texts by name */

#endif
