/* Attempts that run although no job knows of them. The way back to a copy of the state leaves such ones: of jobs that were
 * submitted, or went on, after the copy was made. They would take the place of others, and nobody would end them. */
#ifndef DAEMON_STRAYS_H
#define DAEMON_STRAYS_H

#include "daemon/daemon.h"

/* Looks for them on another thread, and ends those that it has found. What they wrote stays. */
void strays_look(struct daemon *d);

#endif
