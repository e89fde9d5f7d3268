/* Who asks: found out once for each request (auth.h), and kept on it for all who want to know later. */
#ifndef DAEMON_CALLER_H
#define DAEMON_CALLER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/sha256.h"
#include "proto/wire/ref.h"

enum {
    TOKEN_ID_SIZE = 11, /* with the NUL */
    CALLER_ID_SIZE = 16
};

/* What a caller may do; each holds those before it. */
enum scope {
    SCOPE_NONE,
    SCOPE_READ,    /* look at everything */
    SCOPE_SUBMIT,  /* bring jobs, models and data, and steer jobs */
    SCOPE_OPERATE, /* what concerns all: the queue, removal from the registry */
    SCOPE_ADMIN,   /* tokens and the audit log */
    SCOPE_COUNT
};

const char *scope_name(enum scope s);
/* False for a name of none. */
bool scope_parse(const char *name, enum scope *out);

struct caller {
    char id[CALLER_ID_SIZE]; /* of the token, TOKEN_ROOT, or "uid:N"; "": nobody */
    enum scope scope;
    char project[REF_NAME_SIZE]; /* nothing of others exists for it (reach.h); "": it sees all */
    int64_t session;             /* the row of a browser's, that was given for the token; 0: none */
    bool local;                  /* a user of this machine, by the UNIX socket, without a token */
    char secret[SHA256_HEX];     /* which of the token's secrets was shown */
    int64_t expires_ms;
    uint64_t seen; /* changes of tokens that are heeded in this: tokens.c */
};

/* The id of what stands in STATE/token. */
#define TOKEN_ROOT "root"

#endif
