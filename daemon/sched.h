/* Gives waiting jobs their slots, and tells those that go on waiting why. */
#ifndef DAEMON_SCHED_H
#define DAEMON_SCHED_H

#include "daemon/daemon.h"

/* A pass in the next turn of the loop, however often it is asked for. */
void sched_soon(struct daemon *d);
/* Works out why a waiting job waits, as of the newest pass, which leaves that to whoever asks. Before a job is
 * shown. */
void sched_explain(struct daemon *d, struct active *a);
/* While it is paused no job starts; those that run go on. Durable. */
bool sched_set_paused(struct daemon *d, bool paused, struct error *err);

#endif
