/* Files by the sha256 of their content, STATE/blobs/SHA256: there they are whole, verified and on disk.
 * What is on its way lies in STATE/uploads. What nobody refers to is removed at the start.
 *
 * The functions that take a folder work on any thread; the others on the loop's. */
#ifndef DAEMON_BLOBS_H
#define DAEMON_BLOBS_H

#include "daemon/daemon.h"
#include "proto/base/file.h"
#include "proto/base/sha256.h"

struct blob {
    char sha256[SHA256_HEX];
    int64_t size;
};

/* 64 lower-case hexadecimal digits. */
bool blob_is_name(const char *text);
/* STATE/blobs/SHA256; free() */
char *blob_path(const struct daemon *d, const char *sha256);
/* STATE/blobs; free() */
char *blob_folder(const struct daemon *d);
/* The size; -1 when it is not there. */
int64_t blob_size(const struct daemon *d, const char *sha256);
/* Removes it unless somebody refers to it. */
void blob_drop(struct daemon *d, const char *sha256);
/* Makes the folders, and removes what a crash or an expiry has left in them. */
bool blobs_open(struct daemon *d, struct error *err);

/* Copies all of the file into the folder. ERR_CONFLICT if it changes meanwhile. */
bool blob_copy(const char *folder, int fd, struct blob *out, struct error *err);
/* Moves a file that is complete into the folder: w is open on it, and is released. want: the hash that it
 * must have, or "". ERR_DATA names both if it has another one; the file is then gone. */
bool blob_adopt(const char *folder, struct file_writer *w, const char *want, struct blob *out,
                struct error *err);

#endif
