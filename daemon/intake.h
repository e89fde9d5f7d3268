/* Submissions on their way to the disk: all that come in one turn of the loop are committed together, which costs one
 * fsync however many they are, and are answered only then. */
#ifndef DAEMON_INTAKE_H
#define DAEMON_INTAKE_H

#include "daemon/idempotency.h"

/* The jobs of one request, which are accepted together or not at all. */
struct intake_request {
    struct request *r;
    struct idempotency idempotency;
    VEC(struct job *) jobs; /* at least one; owned until they are accepted */
    /* The body of the answer, when the jobs have their ids; free(). */
    char *(*answer)(const struct intake_request *q);
    bool locate; /* the answer has a Location: that of its job */
    void *arg;   /* for answer; */
    void (*free_arg)(void *arg);
    struct intake *expected; /* by whom; NULL: not */
    /* What became of it. */
    char *text, *location;
    bool ok;
    struct error err;
};

void intake_open(struct daemon *d);
void intake_free(struct daemon *d); /* after the loop has ended */

/* Its jobs are being judged: from now on its Idempotency-Key is in use, until it is added or dropped. */
void intake_expect(struct daemon *d, struct intake_request *q);
/* Answers the request soon. */
void intake_add(struct daemon *d, struct intake_request *take_q);
/* One that is refused before it gets here. */
void intake_drop(struct intake_request *take_q); /* NULL is fine */
/* A request with this Idempotency-Key of the same owner waits here, or is expected. */
bool intake_has_key(const struct daemon *d, const struct idempotency *i);

#endif
