/* One file of the server's into one of ours. What has come stands in PATH.part, and in PATH.part.etag which version it is
 * of, until all of it is there; a download that was interrupted goes on with the rest (Range, If-Range), or
 * starts over if the server has another version or knows no ranges. */
#ifndef CLIENT_DOWNLOAD_H
#define CLIENT_DOWNLOAD_H

#include "client/ctl.h"

struct download {
    const char *url;    /* its address on the server: "/api/v1/..." */
    const char *name;   /* for people */
    const char *path;   /* where to */
    const char *sha256; /* that it must have; NULL: whatever comes */
    bool quiet;         /* no progress on standard error */
};

/* *bytes_out: of the whole file. */
bool download(struct ctl *c, const struct download *d, int64_t *bytes_out, struct error *err);

#endif
