/* A file of ours into the server's store, in pieces. What has come there is known by the file's hash: an
 * upload that was cut off, by whatever and whenever, goes on where it was. */
#ifndef CLIENT_UPLOAD_H
#define CLIENT_UPLOAD_H

#include "client/ctl.h"
#include "proto/base/sha256.h"

/* quiet: no progress on standard error. ERR_DATA when the file changes meanwhile. */
bool upload(struct ctl *c, const char *path, bool quiet, char sha256[SHA256_HEX],
            struct error *err);

#endif
