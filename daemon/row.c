#include "daemon/row.h"

#include <string.h>

#include "proto/base/log.h"

struct json *row_json(struct db_stmt *q, int at, const char *column, enum js_kind kind,
                      const char *what)
{
    const char *text = db_text(q, at);
    struct json *j = js_parse(text, strlen(text), NULL);

    if (j && js_kind(j) == kind)
        return j;
    log_error("a damaged row is set aside row=\"%s\" error=\"its %s: expected %s in JSON\"", what,
              column, js_kind_name(kind));
    js_free(j);
    return NULL;
}

struct json *row_json_shown(const struct json *value)
{
    return value ? js_copy(value) : js_new_null();
}
