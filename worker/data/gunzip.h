/* Gzip files in memory. */
#ifndef WORKER_DATA_GUNZIP_H
#define WORKER_DATA_GUNZIP_H

#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/error.h"

/* Appends the content to out, checksum and length verified. ERR_DATA names the file and the offset where
 * it is damaged, cut off, or goes on behind its end; ERR_TOO_LARGE when out->max would be passed. */
bool gunzip(const uint8_t *data, size_t len, const char *name, struct buf *out, struct error *err);

#endif
