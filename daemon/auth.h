/* Who may ask: the token of STATE/token, or a browser's session cookie that was given for it. */
#ifndef DAEMON_AUTH_H
#define DAEMON_AUTH_H

#include "daemon/daemon.h"

enum access {
    ACCESS_PUBLIC,
    ACCESS_READ,  /* token or session */
    ACCESS_WRITE, /* token, or session with the header that only our own pages can send */
    ACCESS_TOKEN  /* the token itself */
};

#define AUTH_PAGE_HEADER "X-Distilld-Request"

/* ERR_UNAUTHORIZED or ERR_FORBIDDEN. Also holds the Host header against the names that the daemon answers
 * for, or a page of another site could reach it under a name of its own (DNS rebinding). */
bool auth_check(struct daemon *d, const struct request *r, enum access access, struct error *err);

/* Opens a session: the value of Set-Cookie; free(). NULL with err. */
char *auth_open_session(struct daemon *d, struct error *err);

#endif
