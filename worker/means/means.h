/* Class means of the teacher's penultimate features (paper.md 1.3), exact: the sum of a coordinate is
 * kept in 128-bit fixed point with 64 fractional bits, so it does not depend on order, chunks or ranks
 * (contract.md 5). */
#ifndef WORKER_MEANS_MEANS_H
#define WORKER_MEANS_MEANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

/* Sums while they are made. `sums` is classes x width, `counts` is classes. */
struct means_sums {
    int classes, width;
    __int128 *sums;
    int64_t *counts;
};
void means_sums_init(struct means_sums *s, int classes, int width);
void means_sums_free(struct means_sums *s);
/* Adds n rows of features (n x width) with their labels; samples[i] is the index in the data set, for
 * the message: a non-finite value or |x| >= 2^40 is ERR_DATA that names sample and coordinate.
 * Each value is truncated to 2^-64 by itself, before the sum. */
bool means_sums_add(struct means_sums *s, const float *features, const int32_t *labels, int64_t n,
                    const int64_t *samples, struct error *err);

void means_sums_clear(struct means_sums *s);
/* Coordinate i of the mean of class c, which has samples. */
double means_sums_mean(const struct means_sums *s, int c, int i);
/* unit := mean / |mean|; false, and zeros, when the norm is below 1e-6 or no number. */
bool means_direction(const double *mean, int width, float *unit);

/* What the means were made from; two sets with the same provenance are the same bytes. */
struct means_provenance {
    const char *teacher_sha256; /* of the tensors, not of the file */
    const char *data_sha256;
    const char *transform; /* "eval" or "train" with seed, passes and augmentation; mean and std */
    const char *isa;       /* effective instruction set of the engine, its version, its steps */
    int chunk, threads;
};
/* sha256 of the provenance: the cache key. */
void means_key(const struct means_provenance *p, char hex[65]);

struct class_means {
    int classes, width;
    double *mean;    /* classes x width */
    int64_t *counts; /* classes */
    float *unit;     /* classes x width: mean / |mean| */
    char teacher_sha256[65], data_sha256[65], isa[128];
    char *transform;
    int chunk, threads;
};
void means_free(struct class_means *m);

/* Divides. A class without samples is ERR_DATA ("class 7 has no training image"), and so is a mean with
 * norm < 1e-6. */
bool means_finish(const struct means_sums *s, const struct means_provenance *p,
                  struct class_means *out, struct error *err);

/* unit := mean / |mean| of class c; a norm < 1e-6 is ERR_DATA. */
bool means_set_unit(struct class_means *m, int c, struct error *err);

/* class_means.safetensors: tensors mean (F64), counts (I64), unit (F32); metadata: the provenance. */
bool means_save(const struct class_means *m, const char *path, struct error *err);
/* Checks shapes, counts, norms, and a sha256 over the tensors that stands in the metadata. */
bool means_load(struct class_means *out, const char *path, struct error *err);
/* Means of another teacher, other data or transform are refused with both provenances in the message,
 * and so are other classes or width. Chunk, threads and ISA may differ: they change bits, not meaning. */
bool means_check(const struct class_means *m, const struct means_provenance *p, int classes,
                 int width, const char *path, struct error *err);
bool means_fit(const struct class_means *m, int classes, int width, const char *path,
               struct error *err);

/* json.c: the form of the paper's authors (paper.md 1.3), an object of class numbers and lists with at most
 * 4 decimals. It tells nothing of teacher, data and counts: what is read of it says "unverified" there,
 * and fits no job by its provenance. ERR_DATA names the class. */
bool means_save_json(const struct class_means *m, const char *path, struct error *err);
bool means_load_json(struct class_means *out, const char *path, struct error *err);

/* DIR/<key>.safetensors. load: false when it is not there (ERR_NOT_FOUND) or does not verify (any other
 * code, worth a warning); then the means are made again. */
bool means_cache_load(const char *dir, const struct means_provenance *p, struct class_means *out,
                      struct error *err);
bool means_cache_save(const char *dir, const struct class_means *m, struct error *err);

#endif
