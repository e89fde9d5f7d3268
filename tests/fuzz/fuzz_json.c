/* JSON: what was read can be written, and reads back as the same text. Taken apart, it is as valid as in one piece. */
#include <string.h>

#include "proto/base/json.h"
#include "proto/base/json_split.h"
#include "tests/fuzz/fuzz.h"

static void check_split(const char *text, size_t len, bool valid)
{
    struct js_split s;
    bool parts = true;

    if (js_split(text, len, "a", 1000, &s)) {
        struct json *rest = js_parse(buf_text(&s.rest), s.rest.len, NULL);

        for (size_t i = 0; i < s.parts.n; i++) {
            struct json *part = js_parse(s.parts.at[i].text, s.parts.at[i].len, NULL);

            parts &= part != NULL;
            js_free(part);
        }
        /* A part may be nested as deep as a whole text: two levels more. */
        PROMISE(!valid || (rest && parts));
        js_free(rest);
    }
    js_split_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct json *j = js_parse((const char *)data, size, &err), *again;
    char *text, *second;

    check_split((const char *)data, size, j);
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
