/* Where the ranks of an attempt give their signs of life: a socket of the shim. Every word is noted in a
 * watch (watch.h) and answered. */
#ifndef DAEMON_HUB_H
#define DAEMON_HUB_H

#include "daemon/watch.h"
#include "proto/base/error.h"

struct hub_config {
    const char *address; /* to listen at (socket.h); port 0 picks one */
    const char *token;   /* what a rank must show; borrowed */
    struct watch *watch; /* borrowed; only the hub's functions change it */
};

struct hub;
struct hub *hub_open(const struct hub_config *cfg, struct error *err);
void hub_close(struct hub *h); /* NULL is fine */

/* Where ranks connect. */
const char *hub_address(const struct hub *h);
/* Readable when something has come. */
int hub_fd(const struct hub *h);
/* Takes what has come; never blocks. */
void hub_serve(struct hub *h, double now);

/* Asks every rank for its stacks. */
void hub_ask_stacks(struct hub *h);
/* Ranks that were asked, and have neither answered nor gone. */
size_t hub_owed_stacks(const struct hub *h);
bool hub_owes_stacks(const struct hub *h, size_t rank);

/* From now on nobody is answered, so that leases run out, and ranks that can still be reached end. */
void hub_hang_up(struct hub *h);

#endif
