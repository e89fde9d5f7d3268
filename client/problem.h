/* What the server answers when it refuses (RFC 9457), as errors that people can read. */
#ifndef CLIENT_PROBLEM_H
#define CLIENT_PROBLEM_H

#include "proto/base/json.h"

/* Always false. `problem` may be NULL or not what it should be; `from` names the server. */
bool problem_error(long status, const struct json *problem, const char *from, struct error *err);
/* Adds to each error the member "line" that {pointer: line} has for its pointer. */
void problem_add_lines(struct json *errors, const struct json *lines);
/* One line "  #/optimizer/lr (line 7): must be ..." for each of [{"pointer","detail","line"}]. */
void problem_list(const struct json *errors, struct buf *out);

#endif
