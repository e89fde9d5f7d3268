/* The sha256 of a file. */
#ifndef CLIENT_HASH_H
#define CLIENT_HASH_H

#include "proto/base/error.h"
#include "proto/base/sha256.h"

bool hash_file(const char *path, char hex[SHA256_HEX], struct error *err);

#endif
