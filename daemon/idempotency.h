/* Idempotency-Key: a request that may have been lost on its way, or only its answer, can be sent again
 * under the same key; it is carried out once, and answered alike each time. */
#ifndef DAEMON_IDEMPOTENCY_H
#define DAEMON_IDEMPOTENCY_H

#include "daemon/daemon.h"

enum {
    IDEMPOTENCY_KEY_MAX = 255,
    IDEMPOTENCY_DAYS = 7, /* for so long an answer is kept */
    IDEMPOTENCY_STATUS =
        202 /* of all that is kept: refusals are not, what was wrong can be put right */
};

struct idempotency {
    char key[IDEMPOTENCY_KEY_MAX + 1]; /* "": the request has none */
    char owner[CALLER_ID_SIZE];        /* whose key it is: "" for who may do everything */
    char body_sha256[SHA256_HEX];
};

/* The key in a header's value: a string in quotes as structured fields have it (RFC 9651), or, for those
 * who forget them, the bare text. ERR_INVALID for anything else. */
bool idempotency_parse(const char *text, size_t len, char key[IDEMPOTENCY_KEY_MAX + 1],
                       struct error *err);

/* False when the answer was given: an earlier one again, or a refusal. */
bool idempotency_begin(struct daemon *d, struct request *r, struct idempotency *i);
/* Within the transaction that carries the request out: the answer, which is about that job. */
bool idempotency_keep(struct daemon *d, const struct idempotency *i, const char *job,
                      const char *text, struct error *err);

/* Forgets answers that are too old. */
void idempotency_expire(struct daemon *d);

#endif
