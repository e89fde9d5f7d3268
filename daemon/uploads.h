/* Files that come in pieces (after draft-ietf-httpbis-resumable-upload): how much of one is here is the
 * size of its part, STATE/uploads/ID, and survives the death of the daemon. What is complete is a blob,
 * which its upload protects until it expires or something refers to the blob. */
#ifndef DAEMON_UPLOADS_H
#define DAEMON_UPLOADS_H

#include "daemon/blobs.h"

enum {
    UPLOAD_ID_SIZE = 80,
    UPLOADS_MAX = 64,        /* unfinished at a time */
    UPLOAD_HOURS = 24,       /* since something came of it */
    UPLOAD_SPARE = 256 << 20 /* bytes of the disk that no upload may take */
};

struct upload {
    char id[UPLOAD_ID_SIZE];
    int64_t size, have;
    char sha256[SHA256_HEX]; /* that it must have, or has; "": not known yet */
    bool complete;
    int64_t created_ms, touched_ms;
};

/* A new one, or that of the same content (sha256, size) which has begun already: *fresh says which. A file
 * that is there already makes one that is complete. ERR_TOO_LARGE, ERR_CONFLICT (too many), ERR_IO (no
 * room). sha256: "" for one that nobody knows yet. */
bool upload_begin(struct daemon *d, int64_t size, const char *sha256, struct upload *out,
                  bool *fresh, struct error *err);
/* ERR_NOT_FOUND */
bool upload_find(struct daemon *d, const char *id, struct upload *out, struct error *err);
/* Opens the part for adding; u->have is where it ends. */
bool upload_open_part(struct daemon *d, struct upload *u, struct file_writer *w, struct error *err);
/* Something came of it just now. */
bool upload_touch(struct daemon *d, struct upload *u, struct error *err);
/* Its part has become this blob. */
bool upload_complete(struct daemon *d, struct upload *u, const struct blob *b, struct error *err);
bool upload_remove(struct daemon *d, const struct upload *u, struct error *err);

/* Removes parts that belong to no upload. */
bool uploads_open(struct daemon *d, struct error *err);
/* Removes uploads that are given up. */
void uploads_expire(struct daemon *d);

/* The API's Upload. */
struct json *upload_json(const struct upload *u);

#endif
