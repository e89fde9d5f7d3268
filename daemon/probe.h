/* Asks a host whether it can be reached: by the launch agent, as mpirun would, with the command `true`. */
#ifndef DAEMON_PROBE_H
#define DAEMON_PROBE_H

#include "daemon/daemon.h"

/* why: "" when the host answered. The probe is gone after it. */
typedef void (*probe_answer)(struct daemon *d, const char *host, const char *why);
/* `answer` is called on the loop, never before this returns. */
struct probe *probe_host(struct daemon *d, const char *host, probe_answer answer);
/* Gives up: there will be no answer. NULL is fine. */
void probe_release(struct probe *p);

#endif
