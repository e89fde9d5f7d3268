/* Training images that are mixed in pairs: mixup (Zhang et al. 2018) blends an image with its partner,
 * CutMix (Yun et al. 2019) puts a box of the partner into it. One draw serves a batch. The partner of the
 * i-th of n images of a lane is the (n-1-i)-th, so that every rank has it; the authors mirror the whole
 * batch (paper.md 2.5). */
#ifndef WORKER_DATA_MIX_H
#define WORKER_DATA_MIX_H

#include <stdint.h>

struct mix {
    double mixup_alpha, cutmix_alpha; /* the share is drawn from Beta(alpha, alpha); 0: never */
    double prob;                      /* that a batch is mixed */
    double switch_prob;               /* that it is CutMix where both are possible */
    uint64_t seed;
};

/* What is done to a batch. */
struct mixture {
    double share; /* of an image in its mixture; 1: nothing is mixed. With a box, of its area. */
    int top, left, height, width; /* the box that comes from the partner; height 0: blended */
};

/* A function of (seed, epoch, batch) alone. */
struct mixture mix_draw(const struct mix *m, int size, int64_t epoch, int64_t batch);
/* Mixes the n images (3 x size x size) of a lane; partners[i] := the label of i's partner. */
void mix_lane(const struct mixture *x, int size, float *images, const int32_t *labels,
              int32_t *partners, int64_t n);

#endif
