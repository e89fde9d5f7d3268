/* Paths of requests: matching and decoding never leave the text, and what {..} stands for is a part of
 * one segment. */
#include <string.h>

#include "daemon/routes.h"
#include "proto/base/mem.h"
#include "tests/fuzz/fuzz.h"

static void match(const char *pattern, const char *path)
{
    char *params[HTTP_PARAMS] = {0};
    bool fits = routes_match(pattern, path, params);

    for (size_t i = 0; i < HTTP_PARAMS; i++) {
        size_t len = params[i] ? strlen(params[i]) : 0;

        if (fits && params[i]) {
            PROMISE(len && !strchr(params[i], '/') && strstr(path, params[i]));
            if (http_decode(params[i]))
                PROMISE(strlen(params[i]) <= len);
        }
        free(params[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *path = NEW_ARRAY(char, size + 1);

    memcpy(path, data, size);
    for (size_t i = 0; i < n_routes; i++)
        match(routes[i].pattern, path);
    if (http_decode(path))
        PROMISE(strlen(path) <= size);
    free(path);
    return 0;
}
