/* IDX, the format of MNIST: two zero bytes, a type, the number of dimensions, the sizes as big-endian
 * 32-bit numbers, then the values; the first dimension counts the records. */
#ifndef WORKER_DATA_IDX_H
#define WORKER_DATA_IDX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

enum {
    IDX_MAX_RANK = 3
};

struct idx {
    uint32_t size[IDX_MAX_RANK];
    const uint8_t *records; /* in the bytes that were parsed */
    size_t record_bytes;
    size_t present; /* whole records that are there: less than size[0] when the file is cut off */
};

/* Bytes of unsigned 8-bit numbers in `rank` dimensions, none of them 0. ERR_DATA names the file, the
 * offset, what was expected and what came. */
bool idx_parse(const uint8_t *data, size_t len, const char *name, int rank, struct idx *out,
               struct error *err);

#endif
