/* Gives waiting jobs their slots, and tells those that go on waiting why. */
#ifndef DAEMON_SCHED_H
#define DAEMON_SCHED_H

#include "daemon/daemon.h"

/* A pass in the next turn of the loop, however often it is asked for. */
void sched_soon(struct daemon *d);

#endif
