/* What the kernel says about a process that does not speak for itself. */
#ifndef DAEMON_THREADS_H
#define DAEMON_THREADS_H

#include <sys/types.h>

#include "proto/base/buf.h"

/* As /proc shows it: "T (stopped)", "R (running)"; "gone" when there is no such process. */
void process_state(pid_t pid, char *out, size_t size);
/* A line for each thread: its state and where in the kernel it waits, and below it the stack there, as
 * far as we may see it. */
void threads_describe(pid_t pid, struct buf *out);

#endif
