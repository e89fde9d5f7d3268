/* The inside of a data set, for the files that each fill it from one kind of source. */
#ifndef WORKER_DATA_SOURCE_H
#define WORKER_DATA_SOURCE_H

#include "proto/base/file.h"
#include "proto/base/vec.h"
#include "worker/data/dataset.h"

struct image {
    const uint8_t *pixels;
    int32_t label;
};

struct dataset {
    int classes, size;
    VEC(struct image) images;   /* in storage order */
    VEC(struct file_map) files; /* what pixels point into, */
    uint8_t *made;              /* or pixels that were computed */
};

/* What a row's `open` does: fills the fields above from the part behind the colon. On failure
 * dataset_close releases what is there. */
bool cifar10_open(struct dataset *d, const char *dir, enum split split, struct error *err);
bool cifar100_open(struct dataset *d, const char *dir, enum split split, struct error *err);
bool synthetic_open(struct dataset *d, const char *options, enum split split, struct error *err);

#endif
