/* Look-up in tables of rows: arrays of structs whose first member is `const char *name`. */
#ifndef PROTO_BASE_TABLE_H
#define PROTO_BASE_TABLE_H

#include <stddef.h>

#include "proto/base/error.h"

struct table {
    const void *rows;
    size_t count, row_size;
};

#define TABLE(array) \
    ((struct table){(array), sizeof(array) / sizeof((array)[0]), sizeof((array)[0])})

/* The row of that name, or NULL. */
const void *table_find(struct table t, const char *name);
const void *table_row(struct table t, size_t i);
const char *table_name(struct table t, size_t i);
/* suggest_unknown with the names of the rows. */
bool table_unknown(struct table t, const char *what, const char *name, struct error *err);

#endif
