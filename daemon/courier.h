/* Delivers the messages of webhooks (webhooks.h): signed as the Standard Webhooks specification says (headers
 * webhook-id, webhook-timestamp and webhook-signature), one at a time to each webhook, the oldest that is due first, and again after a growing
 * pause where the answer is not 2xx. A receiver that answers 410 Gone is asked no more. */
#ifndef DAEMON_COURIER_H
#define DAEMON_COURIER_H

#include "daemon/daemon.h"

/* ERR_INVALID: --webhook-network. */
bool courier_start(struct daemon *d, struct error *err);
void courier_stop(struct daemon *d);
/* There may be something to deliver. */
void courier_soon(struct daemon *d);
/* Forgets what was settled long ago. */
void courier_expire(struct daemon *d);

#endif
