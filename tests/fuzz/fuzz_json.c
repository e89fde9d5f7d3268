/* JSON: what was read can be written, and reads back as the same text. */
#include <string.h>

#include "proto/base/json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct json *j = js_parse((const char *)data, size, &err), *again;
    char *text, *second;

    if (!j) {
        PROMISE(err.code == ERR_INVALID || err.code == ERR_TOO_LARGE);
        PROMISE(err.msg[0]);
        return 0;
    }
    text = js_text(j, JS_COMPACT);
    again = js_parse(text, strlen(text), &err);
    PROMISE(again);
    second = js_text(again, JS_COMPACT);
    PROMISE(strcmp(text, second) == 0);
    free(second);
    free(text);
    js_free(again);
    js_free(j);
    return 0;
}
