/* The logs of the databases are written back on other threads: the loop's does not wait for the disk but for what it has to
 * acknowledge. */
#ifndef DAEMON_WRITEBACK_H
#define DAEMON_WRITEBACK_H

#include "daemon/daemon.h"

/* From now on, while the loop runs. */
void writeback_start(struct daemon *d);

#endif
