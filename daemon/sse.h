/* The event stream of the API. */
#ifndef DAEMON_SSE_H
#define DAEMON_SSE_H

#include "daemon/daemon.h"

/* Starts the heartbeat; without it a client could not tell a quiet daemon from a dead connection. */
void sse_start(struct daemon *d);

#endif
