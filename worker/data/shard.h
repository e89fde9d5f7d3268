/* A data set of encoded images in one file, to be mapped.
 *
 *   8 bytes           "DSTSHRD1"
 *   images            each: CRC-32 of what follows (4 bytes), the bytes of a JPEG or PNG
 *   names             of the classes, each with its NUL
 *   index             a record of 24 bytes for each training image, then for each test image:
 *                     u64 offset of its bytes, u32 length, u32 label, u32 width, u32 height
 *   u64               offset of the names
 *   u64               bytes of the names
 *   u64, u64          training and test images
 *   u32, u32          classes, 0
 *   64 bytes          SHA-256 of all from the names to here, in hexadecimal
 *   8 bytes           "DSTSHRD1"
 *
 * Numbers are little-endian. */
#ifndef WORKER_DATA_SHARD_H
#define WORKER_DATA_SHARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/sha256.h"

#define SHARD_MAGIC "DSTSHRD1"

enum {
    SHARD_MAGIC_BYTES = 8,
    SHARD_CRC_BYTES = 4,
    SHARD_RECORD = 24,
    SHARD_NUMBERS = 40, /* from the offset of the names to the checksum */
    SHARD_END = SHARD_NUMBERS + SHA256_HEX - 1 + SHARD_MAGIC_BYTES
};

struct shard {
    const uint8_t *data; /* the bytes that were parsed */
    const char *names;   /* `classes` texts one behind the other */
    const uint8_t *index;
    uint32_t classes;
    uint64_t counts[2]; /* by split */
};

struct shard_image {
    const uint8_t *data;
    uint32_t len, label, width, height;
};

/* ERR_DATA names the file, the offset, what was expected and what came. What is accepted has every image
 * inside the bytes and every label below classes. */
bool shard_parse(const uint8_t *data, size_t len, const char *name, struct shard *out,
                 struct error *err);
/* Image i of all, training images first. */
struct shard_image shard_image(const struct shard *s, uint64_t i);

/* Of the bytes of an image, as it stands before them. */
uint32_t shard_crc(const uint8_t *data, size_t len);

void shard_put32(uint8_t *to, uint32_t v);
void shard_put64(uint8_t *to, uint64_t v);

#endif
