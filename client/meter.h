/* How far a transfer is, on standard error: on a terminal a line that is drawn over, elsewhere a line for
 * each tenth, when that takes a while. */
#ifndef CLIENT_METER_H
#define CLIENT_METER_H

#include <stdint.h>

#include "client/out.h"

struct meter {
    const char *name;
    struct term term;
    bool quiet;
    int64_t have, total; /* bytes; total -1: not known */
    int64_t had;         /* when this run began */
    double began, shown;
    int64_t tenths; /* that have a line */
};

/* have and total are set. */
void meter_begin(struct meter *m);
void meter_show(struct meter *m);
/* Takes the line away again. */
void meter_end(const struct meter *m);

#endif
