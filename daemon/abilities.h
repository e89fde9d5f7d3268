/* What the worker can do (d->catalog). Where that is not known from an earlier start, the worker is asked while the daemon
 * serves already: its answer takes longer than all else of a start. Loop thread, but for abilities_known. */
#ifndef DAEMON_ABILITIES_H
#define DAEMON_ABILITIES_H

#include "daemon/daemon.h"

/* Calls `known`, when the loop runs, with what came of it; not when the daemon stops before. */
void abilities_open(struct daemon *d, void (*known)(struct daemon *d, const struct error *err));
void abilities_free(struct daemon *d); /* after the loop has ended */

/* NULL: it is not known, or not yet. What it gives then never changes; any thread may read it. */
const struct catalog *abilities_known(const struct daemon *d);
/* `then` answers the request when it is known, which may be now; or it is told why that cannot be. */
void abilities_then(struct daemon *d, struct request *r,
                    void (*then)(struct daemon *d, struct request *r));

#endif
