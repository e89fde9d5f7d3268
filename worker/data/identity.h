/* The identity of a data set (dataset_sha256), remembered: reading all of a large set again takes longer
 * than everything else that a job does before its first step.
 *
 * It is kept beside the data, in FOLDER/.distilld, or below `cache` where that folder cannot be written,
 * in one file for each selection of classes and images. It counts as long as size, inode and times of
 * every file are those it was computed with. */
#ifndef WORKER_DATA_IDENTITY_H
#define WORKER_DATA_IDENTITY_H

#include "worker/data/dataset.h"

/* anew: computes whatever is remembered. What cannot be read or written is no failure. True when the data
 * was read. */
bool identity_of(const struct dataset *d, const char *cache, bool anew, char hex[SHA256_HEX]);

#endif
