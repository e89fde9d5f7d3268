/* One artifact into a file. What has come stands in PATH.part, and in PATH.part.etag which version it is
 * of, until all of it is there; a download that was interrupted goes on with the rest (Range, If-Range), or
 * starts over if the server has another version or knows no ranges. */
#ifndef CLIENT_DOWNLOAD_H
#define CLIENT_DOWNLOAD_H

#include "client/ctl.h"

struct download {
    const char *id, *name; /* the job, its artifact */
    const char *path;      /* where to */
    bool quiet;            /* no progress on standard error */
};

/* *bytes_out: of the whole file. */
bool download(struct ctl *c, const struct download *d, int64_t *bytes_out, struct error *err);

#endif
