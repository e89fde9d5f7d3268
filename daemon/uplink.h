/* Where running attempts report: a local socket on which rank 0 of each speaks the frames of
 * control.proto; with a host file a TCP port, because rank 0 may be on another host. The port is another
 * one after each start; ranks read it, whenever they connect, from a file in the state folder. */
#ifndef DAEMON_UPLINK_H
#define DAEMON_UPLINK_H

#include <netinet/in.h>

#include "daemon/daemon.h"

#define UPLINK_SOCKET  "uplink.sock"
#define UPLINK_ADDRESS "uplink.address" /* HOST:PORT */

/* That of --advertise. */
bool uplink_address(const char *text, struct sockaddr_in *out, struct error *err);

struct uplink *uplink_start(struct daemon *d, struct error *err);
void uplink_stop(struct uplink *u); /* NULL is fine */

/* Asks the attempt's ranks to stop at a step boundary, for good when the job is cancelled. False when they are not connected; they are asked
 * when they are. */
bool uplink_stop_job(struct uplink *u, struct active *a);
/* Asks them for a checkpoint at a step boundary; false when they are not connected. */
bool uplink_checkpoint_job(struct uplink *u, struct active *a);
/* For each tick of a running attempt: says so when its ranks are not heard any more, and when they are again. They may
 * well go on (service.md, 3.5): it is the shim that judges them. */
void uplink_look(struct uplink *u, struct active *a);
/* Closes the connection of an attempt that is over. */
void uplink_forget(struct uplink *u, struct active *a);

#endif
