/* What the files store*.c share. */
#ifndef DAEMON_STORE_PARTS_H
#define DAEMON_STORE_PARTS_H

#include "daemon/db.h"
#include "daemon/store.h"

struct store {
    struct db *state, *metrics;
};

extern const struct db_schema store_state_schema, store_metrics_schema;

/* ERR_GONE if there was such a job, else ERR_NOT_FOUND. Always false. */
bool store_say_missing(struct store *s, const char *id, struct error *err);

#endif
