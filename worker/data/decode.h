/* JPEG and PNG files in memory, to 8-bit RGB. Which of them it is, the first bytes tell, never the name.
 *
 * Grey becomes three equal channels, CMYK and YCCK (stored inverted, as Adobe does) become RGB, a palette
 * its colours; of 16 bits the upper 8 count; an alpha channel is dropped, gamma and colour profiles are not
 * applied, and the orientation in EXIF is not followed: what torchvision's loaders give. */
#ifndef WORKER_DATA_DECODE_H
#define WORKER_DATA_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

enum {
    DECODE_MAX_SIDE = 65500,       /* a JPEG has no more */
    DECODE_MAX_PIXELS = 178956970, /* where Pillow begins to suspect an attack */
};

struct picture {
    int width, height;
    uint8_t *rgb; /* height x width x 3 */
    size_t room;  /* bytes at rgb; kept from picture to picture */
    size_t limit; /* pixels; 0: DECODE_MAX_PIXELS */
};
void picture_free(struct picture *p);

/* ERR_DATA says what is wrong: neither JPEG nor PNG, cut off, damaged, too large. A picture of which pixels
 * were lost is an error, not a picture with a grey part. */
bool decode(const uint8_t *data, size_t len, struct picture *out, struct error *err);
/* Width and height alone, from the header. */
bool decode_size(const uint8_t *data, size_t len, int *width, int *height, struct error *err);

#endif
