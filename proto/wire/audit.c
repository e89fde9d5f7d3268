#include "proto/wire/audit.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

void audit_hash(const char *before, const struct json *row, char hex[SHA256_HEX])
{
    static const char *const members[] = {"seq",  "at",     "caller",  "address", "method",
                                          "path", "status", "request", "subject"};
    struct json *all = js_new_array();
    char *text;

    js_push(all, js_new_string(before));
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        const struct json *value = js_get(row, members[i]);

        js_push(all, value ? js_copy(value) : js_new_null());
    }
    /* Rows of before there were traces have the hash that they had. */
    if (js_kind(js_get(row, "trace")) != JS_NULL)
        js_push(all, js_copy(js_get(row, "trace")));
    text = js_text(all, JS_COMPACT);
    sha256_of(text, strlen(text), hex);
    free(text);
    js_free(all);
}
