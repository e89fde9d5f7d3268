/* Starts the shim of an attempt on this host. */
#ifndef DAEMON_LAUNCH_H
#define DAEMON_LAUNCH_H

#include <sys/types.h>

#include "daemon/daemon.h"
#include "daemon/secret.h"

/* Makes the folders and files of j's newest attempt, among them a new token. */
bool launch_prepare(struct daemon *d, const struct job *j, char token[SECRET_SIZE],
                    struct error *err);

/* What every process of an attempt of this state folder has in its environment: NAME=VALUE; free() */
char *launch_mark(const struct daemon *d);

/* A shim that we started. Lives until it has ended or was released. */
struct child;
typedef void (*launch_ended)(struct daemon *d, const char *job, struct child *c);
/* NULL with err. `ended` is called on the loop when the shim ends; the child is gone after it. */
struct child *launch_start(struct daemon *d, const struct job *j, launch_ended ended,
                           struct error *err);
pid_t launch_pid(const struct child *c);
/* Lets go of a child that goes on without us. NULL is fine. */
void launch_release(struct child *c);

#endif
