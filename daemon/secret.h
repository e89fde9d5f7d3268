/* Secrets: random bytes from the kernel, tokens made of them, and a comparison that takes the same
 * time wherever the difference is. */
#ifndef DAEMON_SECRET_H
#define DAEMON_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"

enum {
    SECRET_SIZE = 80, /* a token with its prefix and the NUL */
    SECRET_PREFIX_MAX = 15
};

void secret_bytes(void *out, size_t n);
/* prefix and 256 random bits in hexadecimal. The prefix has at most SECRET_PREFIX_MAX bytes. */
void secret_new(const char *prefix, char out[SECRET_SIZE]);
/* The time it takes shows nothing but whether their lengths are the same, which are no secret. */
bool secret_equal(const char *a, const char *b);

/* The token in the file, which is made (0600) if it does not exist. */
bool secret_keep(const char *path, const char *prefix, char out[SECRET_SIZE], struct error *err);
/* ERR_NOT_FOUND when there is no such file. */
bool secret_read(const char *path, char out[SECRET_SIZE], struct error *err);

#endif
