/* How often one address, or one token, may ask, and how often it may be wrong. The UNIX socket has no limits, so that
 * whoever runs the daemon is never shut out. */
#ifndef DAEMON_LIMITS_H
#define DAEMON_LIMITS_H

#include "daemon/daemon.h"

struct limit {
    double rate, burst; /* so many a second, and so many at once */
};

struct limit_set {
    struct limit address, token, failure; /* failure.rate 0: any number */
    bool all;                             /* also loopback and the token of STATE/token */
};

struct limits;
struct limits *limits_new(const struct limit_set *set);
/* As the settings say. */
struct limits *limits_open(const struct settings *s);
void limits_close(struct limits *l); /* NULL is fine */

/* Before it is known who asks, and after. False when the answer was given: 429 with Retry-After. Where there is a limit,
 * the answer says what is left of it (RateLimit and RateLimit-Policy, draft-ietf-httpapi-ratelimit-headers). */
bool limits_admit_address(struct daemon *d, struct request *r);
bool limits_admit_caller(struct daemon *d, struct request *r);
/* The request showed a token or a cookie that opens nothing. */
void limits_note_failure(struct daemon *d, struct request *r);

#endif
