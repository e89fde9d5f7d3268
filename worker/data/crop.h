/* Which part of an image of any size is shown, as torchvision has it. */
#ifndef WORKER_DATA_CROP_H
#define WORKER_DATA_CROP_H

#include <stdint.h>

#include "worker/data/resample.h"

/* RandomResizedCrop: a part of the area between area[0] and area[1], of a width that is ratio[0] to ratio[1]
 * times its height (log-uniform), anywhere in the image. */
struct random_crop {
    double area[2], ratio[2];
};

struct box {
    int left, top, width, height;
};

/* The box of a sample in an epoch: a function of (seed, epoch, sample) and the image's size alone. Ten
 * draws, then the largest box in the middle whose shape is allowed. */
struct box crop_random(const struct random_crop *c, uint64_t seed, int64_t epoch, int64_t sample,
                       int width, int height);

/* The shorter side becomes `resize`; the size x size pixels in the middle are what is shown. */
struct cutout crop_centre(int width, int height, int resize, int size);

#endif
