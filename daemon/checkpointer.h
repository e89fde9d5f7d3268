/* Brings what SQLite's log of a database holds into its file, on a thread and by a connection of its own: the one that
 * commits need not wait for it. */
#ifndef DAEMON_CHECKPOINTER_H
#define DAEMON_CHECKPOINTER_H

#include <stdbool.h>

struct checkpointer;

/* NULL: there can be no thread now. */
struct checkpointer *checkpointer_open(const char *path);
void checkpointer_close(struct checkpointer *c); /* NULL is fine */

/* Once more, soon. */
void checkpointer_wake(struct checkpointer *c);
/* The disk has failed to keep what was written. Nothing more is done then. */
bool checkpointer_failed(struct checkpointer *c);

#endif
