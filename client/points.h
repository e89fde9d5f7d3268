/* What came of a sweep, as the server tells it (GET /jobs/{id}/summary), for people and for programs. */
#ifndef CLIENT_POINTS_H
#define CLIENT_POINTS_H

#include "client/ctl.h"

/* Prints the points of a sweep of which there are jobs. figures: those of result.json, none for the usual
 * ones. */
bool points_show(struct ctl *c, const char *id, const opt_list *figures, struct error *err);

/* "losses.1.weight=2, seed=1"; "-" for no values. */
void points_values(const struct json *values, struct buf *b);
/* A table for each figure of a summary. */
void points_tables(const struct json *summary, const struct term *term, struct buf *b);

#endif
