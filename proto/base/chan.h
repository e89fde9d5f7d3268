/* A bounded first-in first-out queue of pointers between threads. Any number of senders and
 * receivers. */
#ifndef PROTO_BASE_CHAN_H
#define PROTO_BASE_CHAN_H

#include <stdbool.h>
#include <stddef.h>

struct chan;
struct chan *chan_new(size_t capacity);
void chan_free(struct chan *c); /* nobody may be inside any more; NULL is fine */

/* Waits for room. False once the channel is closed; the item stays with the caller. */
bool chan_send(struct chan *c, void *item);
/* Waits for an item. False when the channel is closed and empty. */
bool chan_recv(struct chan *c, void **item_out);
/* Never waits: false when there is nothing at the moment. */
bool chan_try_recv(struct chan *c, void **item_out);
/* No more items are taken; those inside can still be received. */
void chan_close(struct chan *c);

#endif
