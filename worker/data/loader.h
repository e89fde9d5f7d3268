/* Batches in a fixed order, prepared ahead by a background thread, and by as many more as the data set says
 * where images are encoded. One consumer.
 *
 * A training loader shuffles (unless it is told not to) and augments, and prepares only the samples of
 * this rank's lanes. A chunk loader walks a set in storage order in chunks of one size and deals whole
 * chunks to ranks: chunk c goes to rank c mod ranks. */
#ifndef WORKER_DATA_LOADER_H
#define WORKER_DATA_LOADER_H

#include "worker/data/augment.h"
#include "worker/data/dataset.h"
#include "worker/data/mix.h"

struct batch {
    int64_t epoch;
    int64_t view;          /* by which images were augmented */
    int64_t index;         /* of the batch in its epoch, or of the chunk in the set */
    int64_t n;             /* samples in the whole batch, over all ranks; samples in the chunk */
    int64_t first, count;  /* positions [first, first + count) of it are here */
    const float *images;   /* count x 3 x size x size; a chunk has room for the full chunk size, the
                              surplus behind count is zero */
    const int32_t *labels; /* count; the surplus of a chunk is 0 */
    const int64_t *samples;  /* count: indexes in the data set */
    const int32_t *partners; /* count: the labels that the images are mixed with */
    double share;            /* of an image in its mixture (mix.h); 1: they are not mixed */
};

struct train_loader_config {
    const struct dataset *data;
    const struct augment *augment;
    const struct mix *mix; /* NULL: images are not mixed */
    bool in_order;         /* as the data are stored, instead of shuffled */
    uint64_t seed;
    int64_t first_epoch, first_batch; /* where to begin (resume) */
    int64_t last_epoch;               /* ends before this epoch */
    int64_t views;                    /* epoch e has view e mod views; 0: one of its own, e */
    int64_t batch;
    int lanes, lane_lo, lane_hi; /* this rank owns [lane_lo, lane_hi) of the lanes */
};

struct loader;
struct loader *loader_open_train(const struct train_loader_config *cfg, struct error *err);
struct loader *loader_open_chunks(const struct dataset *data, const struct augment *augment,
                                  int64_t chunk, int rank, int ranks, struct error *err);

/* The same chunks in training views, those of epoch `pass` by the augment's own seed. Chunks c with skip[c]
 * are left out; NULL: none. */
struct loader *loader_open_views(const struct dataset *data, const struct augment *augment,
                                 int64_t chunk, int rank, int ranks, int64_t pass, const bool *skip,
                                 struct error *err);

/* Bytes that a training loader takes. */
size_t loader_memory(const struct train_loader_config *cfg);

/* Borrow the next batch until the following call; NULL at the end, or when an image cannot be used. */
const struct batch *loader_next(struct loader *l);
/* After NULL: whether that was the end. ERR_DATA or ERR_IO names the image. */
bool loader_ended(const struct loader *l, struct error *err);
void loader_close(struct loader *l); /* at any time; NULL is fine */

#endif
