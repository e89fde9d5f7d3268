/* A cgroup (version 2) for each attempt, where the machine lets us have one: whatever a process of the
 * attempt does, it and its descendants stay inside, and one write ends them all. */
#ifndef DAEMON_CGROUP_H
#define DAEMON_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

/* Its folder, made below our own cgroup; NULL where there is none to be had. free() */
char *cgroup_make(const char *attempt_id);
/* Moves the calling process inside. */
bool cgroup_enter(const char *path);
/* Ends all processes inside. True when none is left; the cgroup is gone then, too. One that does not
 * exist is empty. */
bool cgroup_end(const char *path);

#endif
