#include "worker/data/identity.h"

#include <string.h>

#include "worker/data/memo.h"

static const char what[] = "data_sha256";

bool identity_of(const struct dataset *d, const char *cache, bool anew, char hex[SHA256_HEX])
{
    struct json *found = anew ? NULL : memo_recall(d, cache, what);
    const char *known = js_string(found, "");
    bool read = strlen(known) != SHA256_HEX - 1;

    if (!read)
        memcpy(hex, known, SHA256_HEX);
    js_free(found);
    if (read && dataset_sha256(d, hex)) {
        found = js_new_string(hex);
        memo_keep(d, cache, what, found);
        js_free(found);
    }
    return read;
}
