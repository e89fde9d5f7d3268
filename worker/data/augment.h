/* From size x size bytes to normalised floats. The random part is a function of (seed, epoch, sample index) alone,
 * so it is the same on any rank, thread and batch position (contract: randomness). */
#ifndef WORKER_DATA_AUGMENT_H
#define WORKER_DATA_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/data/crop.h"

struct augment {
    int size;     /* pixels per side */
    int pad_crop; /* zero pixels added on each side before a random crop of the old size; 0: none */
    bool hflip;   /* with probability 1/2 */
    uint64_t seed;
    /* What frame.h does before: of encoded images the evaluation view makes the shorter side `resize` and
     * takes the middle; the training view takes that too, or a random part. Set behind augment_init. */
    int resize;
    bool resized_crop;
    struct random_crop crop;
    /* Normalised value of each byte: (b/255 - mean) / std, rounded once. Padding is of bytes 0, so a
     * padding pixel becomes table[c][0]. */
    float table[3][256];
};

void augment_init(struct augment *a, int size, int pad_crop, bool hflip, uint64_t seed,
                  const double mean[3], const double std[3]);
/* Whether training views of one image differ. */
bool augment_is_random(const struct augment *a);
/* Training view of one image: 3 x size x size floats. */
void augment_train(const struct augment *a, int64_t epoch, int64_t sample, const uint8_t *image,
                   float *out);
/* Test view: normalised only. */
void augment_eval(const struct augment *a, const uint8_t *image, float *out);

#endif
