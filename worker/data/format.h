/* The inside of decode.h, for the files that each know one format. */
#ifndef WORKER_DATA_FORMAT_H
#define WORKER_DATA_FORMAT_H

#include "worker/data/decode.h"

struct image_format {
    const char *magic;
    size_t magic_bytes;
    bool (*size)(const uint8_t *data, size_t len, int *width, int *height, struct error *err);
    bool (*decode)(const uint8_t *data, size_t len, struct picture *out, struct error *err);
};

/* Makes room for that many pixels of so many bytes each; ERR_DATA where they pass the limits. */
bool picture_shape(struct picture *p, int64_t width, int64_t height, size_t channels,
                   struct error *err);

bool jpeg_size(const uint8_t *data, size_t len, int *width, int *height, struct error *err);
bool jpeg_decode(const uint8_t *data, size_t len, struct picture *out, struct error *err);
/* A new JPEG of such pixels, without subsampling; free(). NULL with ERR_TOO_LARGE. */
uint8_t *jpeg_encode(const uint8_t *rgb, int width, int height, int quality, size_t *len,
                     struct error *err);

bool png_size(const uint8_t *data, size_t len, int *width, int *height, struct error *err);
bool png_decode(const uint8_t *data, size_t len, struct picture *out, struct error *err);

#endif
