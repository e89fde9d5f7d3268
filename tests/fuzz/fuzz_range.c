#define _GNU_SOURCE
/* Range, If-None-Match: a part lies inside the body, and what is listed is found whatever stands
 * around it. The first two bytes choose the size of the body. */
#include <string.h>

#include "daemon/etag.h"
#include "daemon/range.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t body = size > 1 ? (uint64_t)data[0] << 8 | data[1] : 0, from = 0, count = 0;
    const char *text = (const char *)data + (size > 1 ? 2 : size);
    size_t len = size > 1 ? size - 2 : 0;

    if (range_parse(text, len, body, &from, &count) == RANGE_PART)
        PROMISE(count > 0 && from < body && count <= body - from);
    if (len && etag_listed(text, len, "\"never\""))
        PROMISE(memchr(text, '*', len) || memmem(text, len, "\"never\"", 7));
    return 0;
}
