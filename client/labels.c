#include "client/labels.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"

struct json *labels_json(const opt_list *labels, struct error *err)
{
    struct json *j = js_new_object();

    for (size_t i = 0; i < labels->n; i++) {
        const char *text = labels->at[i], *equals = strchr(text, '=');
        char *key;

        if (!equals || equals == text) {
            err_set(err, ERR_INVALID, "--label: expected KEY=VALUE, got \"%s\"", text);
            js_free(j);
            return NULL;
        }
        key = str_ndup(text, (size_t)(equals - text));
        js_set(j, key, js_new_string(equals + 1));
        free(key);
    }
    return j;
}
