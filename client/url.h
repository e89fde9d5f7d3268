/* Paths and queries of requests, with everything that is not plain escaped. */
#ifndef CLIENT_URL_H
#define CLIENT_URL_H

#include "proto/base/buf.h"

/* Everything but RFC 3986's unreserved characters as %XX. */
void url_escape(struct buf *b, const char *text);
/* "/api/v1/jobs/ID" + rest, for which the caller answers. free() */
char *url_job(const char *id, const char *rest);
/* The same for one of the job's files. */
char *url_artifact(const char *id, const char *name);
/* Adds "?key=value", or "&key=value" when there is a query already. NULL values add nothing. */
void url_query(struct buf *b, const char *key, const char *value);

#endif
