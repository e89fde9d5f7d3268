#include "worker/report/token.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"

char *token_read(void)
{
    const char *path = getenv("DISTILLD_TOKEN_FILE");
    struct buf b = buf_new(4096);

    if (path)
        file_read(path, &b, NULL);
    while (b.len && strchr("\r\n", b.data[b.len - 1]))
        b.data[--b.len] = '\0';
    return buf_take(&b);
}
