/* Certificate and key of the API, as the options name them. */
#ifndef DAEMON_TLS_H
#define DAEMON_TLS_H

#include "daemon/http.h"

/* Reads both files. A key that everybody can read is refused, and one that is not the certificate's. */
bool tls_load(const char *certificate, const char *key, struct http_tls *out, struct error *err);
/* The key is overwritten first. */
void tls_unload(struct http_tls *t);

#endif
