/* Writes a shard (shard.h). */
#ifndef WORKER_DATA_PACK_H
#define WORKER_DATA_PACK_H

#include "worker/data/dataset.h"

struct pack_options {
    int size; /* images whose shorter side is longer are made that small, and JPEG again; 0: none is */
    int quality; /* of those */
};

/* What became of the images. */
struct pack_result {
    int64_t kept;  /* as they were */
    int64_t made;  /* smaller */
    int64_t bytes; /* of the file */
};

/* Both splits, of encoded images and equal classes. Where nothing is made smaller, dataset_sha256 of the
 * shard's splits is that of these. An image that cannot be decoded is ERR_DATA. `path` is whole, or as it
 * was before. */
bool pack_shard(const struct dataset *train, const struct dataset *test, const char *path,
                const struct pack_options *o, struct pack_result *result, struct error *err);

#endif
