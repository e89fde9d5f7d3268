/* How long a server that does not answer is waited for. Zeroed: it has just answered. */
#ifndef CLIENT_PATIENCE_H
#define CLIENT_PATIENCE_H

#include <stdbool.h>

#include "proto/base/error.h"

struct patience {
    double lost_at; /* by clock_mono_s */
    double pause_s;
};

/* Sleeps, longer each time. */
void patience_wait(struct patience *p);
/* Whether it is worth while to ask again after err: nothing answered, and not for too long. */
bool patience_left(const struct patience *p, const struct error *err);

#endif
