/* Processes that the kernel ended because memory was short. */
#ifndef DAEMON_OOM_H
#define DAEMON_OOM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Whether it ended this one, since that moment of the monotonic clock. Its own log tells, so false also where
 * that cannot be read (not root, perhaps in a container). */
bool oom_ended(pid_t pid, int64_t since_ns);

/* One record of /dev/kmsg: "PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;... Killed process PID (NAME) ..." */
bool oom_record_names(const char *record, pid_t pid, int64_t since_ns);

#endif
