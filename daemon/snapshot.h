/* What an event stream begins with: the state, as of an id. After a restart thousands of clients come for it at once, and it
 * can be megabytes; so those that see the same get the same text, for as long as nothing happens. One that took long to
 * write is given for a while even so: the events that came since follow it in the stream. So it can be older than an
 * answer that its client has had. */
#ifndef DAEMON_SNAPSHOT_H
#define DAEMON_SNAPSHOT_H

#include "daemon/daemon.h"
#include "daemon/events.h"

/* Of these jobs, with the `end` of each that is over behind it; n 0: of all that are not over, and the newest that are. The
 * event that follows has the next id. With a reference for the caller. */
struct event *snapshot_take(struct daemon *d, const struct caller *who, char *const *jobs,
                            size_t n);
/* Those that were kept are let go. */
void snapshot_forget(struct daemon *d);

#endif
