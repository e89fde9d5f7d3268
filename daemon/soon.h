/* What is done once, when the loop next comes to it, however often it is asked for before: after the timers that are due.
 * Where it asks for itself again, all else that waits has its turn in between. A timer of 0 ms is not the same: where
 * another one starts it, libuv before 1.48 runs it in the same turn (its issue 4245), and one that starts itself again keeps
 * the loop from its descriptors for as long as it does. */
#ifndef DAEMON_SOON_H
#define DAEMON_SOON_H

#include <uv.h>

struct soon {
    uv_idle_t idle; /* a handle of the loop, to be closed as one */
    void (*fn)(void *arg);
    void *arg;
};

void soon_init(struct soon *s, uv_loop_t *loop, void (*fn)(void *arg), void *arg);
void soon_call(struct soon *s); /* nothing, once it is being closed */
void soon_forget(struct soon *s);

#endif
