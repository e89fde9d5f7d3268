#define _DEFAULT_SOURCE
#include "daemon/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/file.h"
#include "proto/base/str.h"

enum {
    PEM_MAX = 1 << 20
};

/* The text of a file with PEM blocks; NULL with err. */
static char *read_pem(const char *option, const char *path, struct error *err)
{
    struct buf text = buf_new(PEM_MAX);

    if (file_read(path, &text, err) &&
        (strstr(buf_text(&text), "-----BEGIN ") ||
         err_set(err, ERR_INVALID, "%s: expected a file in PEM form", path)))
        return buf_take(&text);
    err_named_file(err);
    err_wrap(err, "%s", option);
    buf_free(&text);
    return NULL;
}

static bool is_private(const char *path, struct error *err)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return err_set(err, ERR_INVALID, "--tls-key: %s: %s", path, strerror(errno));
    return !(st.st_mode & S_IRWXO) ||
           err_set(err, ERR_INVALID,
                   "--tls-key: %s has mode %03o: everybody can read it; chmod o= it", path,
                   (unsigned)st.st_mode & 0777);
}

bool tls_load(const char *certificate, const char *key, struct http_tls *out, struct error *err)
{
    *out = (struct http_tls){.certificate = NULL};
    if (!certificate || !key)
        return err_set(err, ERR_INVALID, "%s goes with %s", key ? "--tls-key" : "--tls-certificate",
                       key ? "--tls-certificate" : "--tls-key");
    if (!is_private(key, err))
        return false;
    out->certificate = read_pem("--tls-certificate", certificate, err);
    out->key = out->certificate ? read_pem("--tls-key", key, err) : NULL;
    if (out->key)
        return true;
    tls_unload(out);
    return false;
}

void tls_unload(struct http_tls *t)
{
    if (t->key)
        explicit_bzero(t->key, strlen(t->key));
    free(t->key);
    free(t->certificate);
    *t = (struct http_tls){.certificate = NULL};
}
