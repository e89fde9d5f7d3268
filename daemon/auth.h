/* Who may ask: a bearer token (that of STATE/token, or one of tokens.h), or a browser's session cookie that was
 * given for it. */
#ifndef DAEMON_AUTH_H
#define DAEMON_AUTH_H

#include "daemon/daemon.h"

/* What a route asks for. */
enum access {
    ACCESS_PUBLIC,
    ACCESS_READ, /* the scopes, by token or session */
    ACCESS_SUBMIT,
    ACCESS_OPERATE,
    ACCESS_ADMIN,
    ACCESS_TOKEN /* any token, but the token itself */
};

#define AUTH_PAGE_HEADER "X-Distilld-Request"

/* Fills r->caller. ERR_UNAUTHORIZED or ERR_FORBIDDEN. Also holds the Host header against the names that the daemon
 * answers for, or a page of another site could reach it under a name of its own (DNS rebinding). A session changes
 * something only with the header that only our own pages can send, and never has the scope admin. */
bool auth_check(struct daemon *d, struct request *r, enum access access, struct error *err);

/* Opens a session for the request's caller: the value of Set-Cookie; free(). NULL with err. */
char *auth_open_session(struct daemon *d, const struct request *r, struct error *err);
/* Ends that of the request: the same, of a cookie that is over. ERR_INVALID: it has none. */
char *auth_end_session(struct daemon *d, const struct request *r, struct error *err);

#endif
