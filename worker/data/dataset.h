/* A labelled set of images: bytes, 3 channels, one fixed size, in storage order. Opened once, read by
 * any thread. Grey images are widened to three equal channels.
 *
 * A source is written KIND:REST (JobSpec data.source); the kinds are rows of data_sources. */
#ifndef WORKER_DATA_DATASET_H
#define WORKER_DATA_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/sha256.h"
#include "proto/base/table.h"

enum split {
    SPLIT_TRAIN,
    SPLIT_TEST,
    SPLIT_VAL, /* the part of the training images that is held out */
};

struct dataset_config {
    const char *source;
    const int32_t *classes; /* numbers to keep, relabelled 0, 1, ... in this order; NULL: all */
    size_t n_classes;
    int64_t train_limit; /* only the first so many training images (after `classes`); 0: all */
    double val_fraction; /* of each class's training images, taken from SPLIT_TRAIN to SPLIT_VAL */
    bool skip_corrupt;   /* leave out records that are certainly bad, instead of failing */
};

struct dataset;

/* ERR_DATA names the file, what was expected and what came (missing, not a whole number of records,
 * label out of range with its record number, no image left). Whole files that are damaged fail
 * whatever skip_corrupt says. */
struct dataset *dataset_open(const struct dataset_config *cfg, enum split split, struct error *err);
void dataset_close(struct dataset *d); /* NULL is fine */

int64_t dataset_count(const struct dataset *d);
int dataset_classes(const struct dataset *d);
/* Pixels per side of the square images. */
int dataset_size(const struct dataset *d);
int32_t dataset_label(const struct dataset *d, int64_t i);
/* The i-th image as 3 x size x size bytes, channel by channel, row by row. Valid while d is open. */
const uint8_t *dataset_image(const struct dataset *d, int64_t i);

/* Records left out (skip_corrupt), and what was wrong with the first ones: the k-th sentence, or NULL. */
int64_t dataset_skipped(const struct dataset *d);
const char *dataset_skipped_why(const struct dataset *d, size_t k);
/* Bytes that it takes besides mapped files; NULL: 0. */
size_t dataset_memory(const struct dataset *d);

/* Identity of the content: over (label as 4 little-endian bytes, pixels) of every image in order. */
void dataset_sha256(const struct dataset *d, char hex[SHA256_HEX]);

/* One row per kind of source. */
struct data_source {
    const char *name;
    const char *rest;       /* what stands behind the colon, for help: "DIR" or "classes=10,..." */
    double mean[3], std[3]; /* of the channels for pixels in 0..1: the recipe's normalisation */
    bool (*open)(struct dataset *d, const char *rest, enum split split, struct error *err);
};
extern const struct data_source data_sources[];
extern const size_t n_data_sources;
/* The row of a source such as "cifar100:/dir". */
const struct data_source *data_source_of(const char *source, struct error *err);

#endif
