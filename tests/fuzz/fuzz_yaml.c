/* YAML: what was read is a tree that JSON can say, and its lines belong to it. */
#include <string.h>

#include "client/yaml.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json *lines = js_new_object(), *j, *again;
    struct error err = {0};

    j = yaml_parse((const char *)data, size, lines, &err);
    if (j) {
        char *text = js_text(j, JS_COMPACT);

        again = js_parse(text, strlen(text), &err);
        PROMISE(again);
        js_free(again);
        free(text);
    } else {
        PROMISE(err.code == ERR_INVALID && err.msg[0]);
    }
    for (void *it = js_first(lines); it; it = js_next(lines, it))
        PROMISE(js_key(it)[0] == '#' && js_int(js_value(it), 0) >= 1);
    js_free(j);
    js_free(lines);
    return 0;
}
