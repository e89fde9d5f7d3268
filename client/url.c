#include "client/url.h"

#include <string.h>

void url_escape(struct buf *b, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    for (; *text; text++)
        if (strchr(plain, *text))
            buf_add(b, text, 1);
        else
            buf_fmt(b, "%%%02X", (unsigned)(unsigned char)*text);
}

char *url_job(const char *id, const char *rest)
{
    struct buf b = buf_new(0);

    buf_str(&b, "/api/v1/jobs/");
    url_escape(&b, id);
    buf_str(&b, rest);
    return buf_take(&b);
}

char *url_artifact(const char *id, const char *name)
{
    struct buf rest = buf_new(0);
    char *path;

    buf_str(&rest, "/artifacts/");
    url_escape(&rest, name);
    path = url_job(id, buf_text(&rest));
    buf_free(&rest);
    return path;
}

void url_query(struct buf *b, const char *key, const char *value)
{
    if (!value)
        return;
    buf_fmt(b, "%c%s=", strchr(buf_text(b), '?') ? '&' : '?', key);
    url_escape(b, value);
}
