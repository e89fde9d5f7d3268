/* Opening what lies below a folder, and nothing else: no link is followed on the way, not even in the last place,
 * and no `..` or absolute path leads out, whatever somebody else renames meanwhile. Where the kernel does that at once
 * (openat2), it does; elsewhere the path is walked name by name. */
#ifndef PROTO_BASE_BENEATH_H
#define PROTO_BASE_BENEATH_H

#include <stdbool.h>
#include <sys/stat.h>

#include "proto/base/error.h"

/* A descriptor, closed on exec, for the flags of open (O_RDONLY | O_DIRECTORY, ...; nothing is made); -1 with
 * ERR_NOT_FOUND, or ERR_FORBIDDEN where a link or `..` would lead out. `path` "" or "." is the folder itself. */
int beneath_open(int folder, const char *path, int flags, struct error *err);
/* The same for a regular file to be read. A FIFO or a device is ERR_DATA, and is not waited for. st: may be NULL. */
int beneath_open_file(int folder, const char *path, struct stat *st, struct error *err);

/* The walk alone, as it is done without openat2: for tests of both. */
int beneath_walk(int folder, const char *path, int flags, struct error *err);

/* The part of an absolute path below `root`, "" for the root itself; NULL when it lies elsewhere as it is written.
 * Borrowed. */
const char *beneath_rest(const char *root, const char *path);

#endif
