#define _DEFAULT_SOURCE
#include "daemon/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
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

/* What sessions need of both. */
static bool make_credentials(const char *certificate, const char *key, struct http_tls *t,
                             struct error *err)
{
    const gnutls_datum_t pair[] = {
        {(unsigned char *)t->certificate, (unsigned)strlen(t->certificate)},
        {(unsigned char *)t->key, (unsigned)strlen(t->key)}};
    gnutls_certificate_credentials_t c;
    int code = gnutls_certificate_allocate_credentials(&c);

    if (code == 0) {
        t->credentials = c;
        code = gnutls_certificate_set_x509_key_mem2(c, &pair[0], &pair[1], GNUTLS_X509_FMT_PEM,
                                                    NULL, 0);
    }
    return code >= 0 || err_set(err, ERR_INVALID, "--tls-certificate %s with --tls-key %s: %s",
                                certificate, key, gnutls_strerror(code));
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
    if (out->key && make_credentials(certificate, key, out, err))
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
    if (t->credentials)
        gnutls_certificate_free_credentials(t->credentials);
    *t = (struct http_tls){.certificate = NULL};
}
