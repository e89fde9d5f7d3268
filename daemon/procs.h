/* Processes of an attempt, found through /proc: each carries DISTILLD_ATTEMPT in the environment that
 * it was started with, whatever its parent, group or session has become. */
#ifndef DAEMON_PROCS_H
#define DAEMON_PROCS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/host.h"

#define ATTEMPT_VARIABLE "DISTILLD_ATTEMPT"

/* What tells a process from a later one with the same pid. */
struct process {
    pid_t pid;
    uint64_t start_time; /* ticks since boot */
    char boot_id[HOST_BOOT_SIZE];
};

/* Milliseconds from the boot to its start, by the clock that clock_boot_s reads and nobody sets; 0: not known. */
int64_t process_started_ms(const struct process *p);

/* False when there is no such process. */
bool process_identify(pid_t pid, struct process *out);
/* Sends the signal if p is still that process; false when it is gone. */
bool process_signal(const struct process *p, int signal);

/* Sends the signal to each process of the attempt but the caller, and counts them; zombies do not
 * count. 0: none is left. */
size_t procs_signal(const char *attempt_id, int signal);

/* The attempt of each process that has also this in its environment: NAME=VALUE. */
typedef void procs_seen(const char *attempt_id, void *arg);
void procs_each(const char *mark, procs_seen *seen, void *arg);

#endif
