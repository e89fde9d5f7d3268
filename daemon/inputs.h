/* What a request brings beside its path: which parameters and whether a body, by handler. What a handler would not look
 * at is refused, so that nothing is ever done as if it had not been said. */
#ifndef DAEMON_INPUTS_H
#define DAEMON_INPUTS_H

#include "daemon/routes.h"

/* The names of its parameters, apart by spaces; "*" follows those that may be given again. "": none. INPUTS_ANY: no
 * matter which, as those of a page for browsers, which are for its scripts, or of a probe that adds one against caches. */
#define INPUTS_ANY "*"
const char *inputs_parameters(const struct route *route);
/* Whether its body has members of its own; else it is empty, or {}. */
bool inputs_have_body(const struct route *route);

/* False when the answer was given: 400 for a parameter that there is not, or that came again. */
bool inputs_check_parameters(struct request *r, const struct route *route);
/* The same of a body where none is taken: 415, 400 or 422. GET and HEAD give a body no meaning (RFC 9110, 9.3.1). */
bool inputs_check_body(struct request *r, const struct route *route);

#endif
