/* Images for tests: the committed ones (tests/images), and sets of folders made up from a seed. */
#ifndef TESTS_UNIT_IMAGE_RIG_H
#define TESTS_UNIT_IMAGE_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"

struct image_rgb {
    int width, height;
    uint8_t *rgb; /* free() */
};

/* A file of tests/images; ends the program when it is not there. */
struct buf image_rig_file(const char *name);
/* One of the .ppm files there. */
struct image_rgb image_rig_ppm(const char *name);

/* A coloured texture with some noise; the texture is the class's. */
struct image_rgb image_rig_make(int label, int width, int height, uint64_t key);
/* As JPEG: 0 colour, 1 progressive, 2 grey, 3 inks (YCCK); as PNG: 4 colour, 5 interlaced. */
enum {
    IMAGE_RIG_KINDS = 6
};
struct buf image_rig_encode(const struct image_rgb *image, int kind);
const char *image_rig_ending(int kind);

/* Folders DIR/train/class-a and on, DIR/val/class-a and on: images of every kind, of 24 to 88 pixels. */
void image_rig_folders(const char *dir, int classes, int train, int val, uint64_t key);

#endif
