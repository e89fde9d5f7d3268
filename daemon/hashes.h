/* SHA-256 of files that are asked for again and again. What was found out of a file holds as long as its inode, size and
 * time of change stay (etag_of_file). Any thread. */
#ifndef DAEMON_HASHES_H
#define DAEMON_HASHES_H

#include <stdbool.h>

#include "proto/base/sha256.h"

struct hashes;
struct turn;

struct hashes *hashes_new(void);
void hashes_free(struct hashes *h); /* NULL is fine */

/* Of all of an open file, which is read unless its hash is known. h: NULL remembers nothing. False when it cannot be
 * read, or not to its end in this turn (turns.h). */
bool hashes_of_file(struct hashes *h, int fd, struct turn *t, char hex[SHA256_HEX]);

#endif
