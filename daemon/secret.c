#define _GNU_SOURCE
#include "daemon/secret.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"

void secret_bytes(void *out, size_t n)
{
    unsigned char *p = out;

    while (n) {
        ssize_t k = getrandom(p, n, 0);

        if (k > 0) {
            p += k;
            n -= (size_t)k;
        }
    }
}

void secret_new(const char *prefix, char out[SECRET_SIZE])
{
    unsigned char bytes[32];
    size_t at = strlen(prefix);

    ASSERT(at <= SECRET_PREFIX_MAX);
    memcpy(out, prefix, at);
    secret_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++, at += 2)
        snprintf(out + at, SECRET_SIZE - at, "%02x", bytes[i]);
}

bool secret_equal(const char *a, const char *b)
{
    const size_t n = strlen(a);
    unsigned difference = 0;

    if (strlen(b) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        difference |= (unsigned)(a[i] ^ b[i]);
    return difference == 0;
}

bool secret_read(const char *path, char out[SECRET_SIZE], struct error *err)
{
    struct buf text = buf_new(SECRET_SIZE - 1);
    bool ok = file_read(path, &text, err);

    if (ok) {
        size_t n = strcspn(buf_text(&text), "\r\n \t");

        ok = n > 0 || err_set(err, ERR_DATA, "%s is empty: remove it to have a new one made", path);
        memcpy(out, buf_text(&text), n);
        out[n] = '\0';
    }
    buf_free(&text);
    return ok;
}

bool secret_keep(const char *path, const char *prefix, char out[SECRET_SIZE], struct error *err)
{
    struct error why;
    char line[SECRET_SIZE + 1];

    if (secret_read(path, out, &why))
        return true;
    if (why.code != ERR_NOT_FOUND)
        return err_set(err, why.code, "%s", why.msg);
    secret_new(prefix, out);
    snprintf(line, sizeof(line), "%s\n", out);
    return file_replace(path, line, strlen(line), 0600, err);
}
