/* What a client would rather have (RFC 9110, 12.5.1). */
#ifndef DAEMON_ACCEPT_H
#define DAEMON_ACCEPT_H

#include <stdbool.h>

/* Which of `n` media types the header Accept, which may be NULL, asks for: the one of greatest weight, of several the one
 * that is named most closely, and the first of those. -1: none of them will do. */
int accept_choose(const char *accept, const char *const *types, int n);
/* Whether the header Accept, which may be NULL, asks for media type `type` rather than for `usual`: with a greater weight, or
 * with the same and more by name, "text/csv" more than a range like "text" or anything. */
bool accept_prefers(const char *accept, const char *type, const char *usual);

#endif
