/* JSON in the columns of a row. One that is damaged must not keep the daemon from the others: the log names it, it reads as
 * NULL, and the row is shown without it. */
#ifndef DAEMON_ROW_H
#define DAEMON_ROW_H

#include "daemon/db.h"
#include "proto/base/json.h"

/* NULL: it is no JSON of this kind. what: "webhook wh_1", for the log. js_free */
struct json *row_json(struct db_stmt *q, int at, const char *column, enum js_kind kind,
                      const char *what);
/* What stands in an answer: a copy, or JSON null. */
struct json *row_json_shown(const struct json *value);

#endif
