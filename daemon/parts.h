/* Work for one request that goes faster in parts, on as many threads as are free. */
#ifndef DAEMON_PARTS_H
#define DAEMON_PARTS_H

#include "daemon/daemon.h"

/* Instead of an answer: `work` is called for each part, 0 to n - 1, on threads of the pool; when all have returned, `then`
 * answers as that of http_hold. */
void parts_work(struct daemon *d, struct request *r, size_t n, void (*work)(void *arg, size_t part),
                void (*then)(struct request *r, void *arg), void *arg);

#endif
