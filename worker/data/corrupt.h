/* The images of an encoded set that cannot be decoded. To find them, all are decoded once; what was found is
 * remembered while nothing changes (memo.h). */
#ifndef WORKER_DATA_CORRUPT_H
#define WORKER_DATA_CORRUPT_H

#include "worker/data/dataset.h"

/* marked has dataset_count() numbers, 0 at first: those of bad images among first, first + step, ... become
 * 1. So several processes can share the work, and add up what they found. What cannot be read or has no room in
 * memory is not known to be bad: that fails, with the first such error. */
bool corrupt_find(const struct dataset *d, int64_t first, int64_t step, int64_t *marked,
                  struct error *err);

/* False when nothing is known. */
bool corrupt_recall(const struct dataset *d, const char *cache, int64_t *marked);
void corrupt_keep(const struct dataset *d, const char *cache, const int64_t *marked);

/* Of a set that was opened with skip_corrupt: leaves out those that are marked; dataset_skipped() and dataset_skipped_why() tell of them. ERR_DATA when
 * no image is left. */
bool corrupt_drop(struct dataset *d, const int64_t *marked, struct error *err);

/* All of it, in one process. */
bool corrupt_remove(struct dataset *d, const char *cache, bool anew, struct error *err);

#endif
