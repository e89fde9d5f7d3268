/* A labelled set of images in storage order. Opened once, read by any thread. Either its images are bytes
 * of 3 channels and one fixed size (grey ones widened to three equal channels), or they are encoded: JPEG
 * and PNG files of any size, of which frame.h makes pictures of the size that is wanted.
 *
 * A source is written KIND:REST (JobSpec data.source); the kinds are rows of data_sources. */
#ifndef WORKER_DATA_DATASET_H
#define WORKER_DATA_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
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
    int64_t train_limit; /* only the first so many training images (after `classes`), of encoded
                            ones the first of each class; 0: all */
    double val_fraction; /* of each class's training images, taken from SPLIT_TRAIN to SPLIT_VAL */
    bool skip_corrupt;   /* leave out records that are certainly bad, instead of failing */
    int image_size;      /* of encoded images, as they are shown; 0: 224 */
    int decode_threads;  /* that work on encoded images; 0: 1 */
};

struct dataset;

/* ERR_DATA names the file, what was expected and what came (missing, not a whole number of records,
 * label out of range with its record number, no image left). Whole files that are damaged fail
 * whatever skip_corrupt says. Whether encoded images can be decoded is not looked at: see corrupt.h. */
struct dataset *dataset_open(const struct dataset_config *cfg, enum split split, struct error *err);
void dataset_close(struct dataset *d); /* NULL is fine */

int64_t dataset_count(const struct dataset *d);
int dataset_classes(const struct dataset *d);
/* Of class k, or NULL where classes have numbers alone. */
const char *dataset_class_name(const struct dataset *d, int k);
/* Pixels per side of the square images; of encoded ones, as they are shown. */
int dataset_size(const struct dataset *d);
int32_t dataset_label(const struct dataset *d, int64_t i);
/* The i-th image as 3 x size x size bytes, channel by channel, row by row. Valid while d is open. Not of
 * encoded images. */
const uint8_t *dataset_image(const struct dataset *d, int64_t i);

bool dataset_encoded(const struct dataset *d);
int dataset_decode_threads(const struct dataset *d); /* 1 where nothing is encoded */
/* The file of the i-th image: in place, or read into scratch. ERR_DATA or ERR_IO names it. */
bool dataset_file(const struct dataset *d, int64_t i, struct buf *scratch, const uint8_t **data,
                  size_t *len, struct error *err);
/* What a message calls the i-th image of an encoded set; free(). */
char *dataset_image_name(const struct dataset *d, int64_t i);
/* About the largest image: bytes of its file where that has to be read; pixels, as far as the headers that
 * were looked at tell. */
struct dataset_largest {
    size_t bytes;
    int64_t pixels;
} dataset_largest(const struct dataset *d);
/* Leaves out the images that are marked, of dataset_count() many. */
void dataset_drop(struct dataset *d, const int64_t *marked);

/* Records left out (skip_corrupt), and what was wrong with the first ones: the k-th sentence, or NULL. */
int64_t dataset_skipped(const struct dataset *d);
const char *dataset_skipped_why(const struct dataset *d, size_t k);
/* Bytes that it takes besides mapped files; NULL: 0. */
size_t dataset_memory(const struct dataset *d);

/* Identity of the content: over (label as 4 little-endian bytes, pixels) of every image in order; over
 * (label, length as 8 bytes, file) where they are encoded, so that it is the same wherever the files are.
 * Only of those can it fail, where a file cannot be read. */
bool dataset_sha256(const struct dataset *d, char hex[SHA256_HEX], struct error *err);

/* One row per kind of source. */
struct data_source {
    const char *name;
    const char *rest;       /* what stands behind the colon, for help: "DIR" or "classes=10,..." */
    double mean[3], std[3]; /* of the channels for pixels in 0..1: the recipe's normalisation */
    bool encoded;           /* images of any size: JobSpec has fields that say how they are shown */
    bool (*open)(struct dataset *d, const char *rest, enum split split, struct error *err);
};
extern const struct data_source data_sources[];
extern const size_t n_data_sources;
/* The row of a source such as "cifar100:/dir". */
const struct data_source *data_source_of(const char *source, struct error *err);

#endif
