/* Work for requests that reads a lot: searches in logs, hashes of files. Only so much is done at a time, that threads stay
 * free for all else (checkpoints, backups); the rest waits its turn without a thread, and what comes beyond that is
 * refused, also what comes beyond its client's share of the places where one waits. Nothing is read for a client that has
 * gone, or longer than until the daemon stops. */
#ifndef DAEMON_TURNS_H
#define DAEMON_TURNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/base/vec.h"

struct daemon;
struct request;
struct turn;

enum {
    TURNS_AT_A_TIME = 2, /* of the threads of the pool (main.c) */
    TURNS_WAITING = 32,
    TURNS_EACH = 8 /* of them, for one token; for one address where there is none */
};

struct turns {
    size_t running;
    VEC(struct turn *) waiting; /* in the order of arrival */
    atomic_bool over;           /* the daemon stops */
};

/* As http_work; only then is `answer` called when the work was done, and was not cut short. In any case `drop` releases arg,
 * in the end. */
void turns_work(struct daemon *d, struct request *r, void (*work)(void *arg, struct turn *t),
                void (*answer)(struct request *r, void *arg), void (*drop)(void *arg), void *arg);
/* For the work, on its thread, before each piece of it: false when nobody wants it any more. What it has done then does not
 * matter. NULL: work that is always done. */
bool turn_goes_on(struct turn *t);

/* When the daemon stops (d->stopping): those who wait are refused, and work ends at its next piece. */
void turns_stop(struct daemon *d);

#endif
