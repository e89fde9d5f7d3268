/* Work for requests that reads a lot: searches in logs, hashes of files. Only so much is done at a time, that threads stay
 * free for all else (checkpoints, backups); the rest waits its turn without a thread, and what comes beyond that is
 * refused. */
#ifndef DAEMON_TURNS_H
#define DAEMON_TURNS_H

#include <stddef.h>

#include "proto/base/vec.h"

struct daemon;
struct request;

enum {
    TURNS_AT_A_TIME = 2, /* of the four threads that libuv has */
    TURNS_WAITING = 32
};

struct turns {
    size_t running;
    VEC(struct turn *) waiting; /* in the order of arrival */
};

/* As http_work; only then is `answer` called when the work was done. In any case `drop` releases arg, in the end. */
void turns_work(struct daemon *d, struct request *r, void (*work)(void *arg),
                void (*answer)(struct request *r, void *arg), void (*drop)(void *arg), void *arg);
/* When the daemon stops (d->stopping): those who wait are refused. */
void turns_stop(struct daemon *d);

#endif
