/* From an image of a data set to size x size bytes, on which augment.h goes on: encoded images are decoded,
 * cut and resized; ready ones are handed on as they are unless a random part of them is wanted. */
#ifndef WORKER_DATA_FRAME_H
#define WORKER_DATA_FRAME_H

#include "worker/data/augment.h"
#include "worker/data/dataset.h"
#include "worker/data/decode.h"

/* Buffers of one thread. augment may be NULL where only framer_picture is called. */
struct framer;
struct framer *framer_new(const struct dataset *d, const struct augment *a);
void framer_free(struct framer *f); /* NULL is fine */
struct framer **framers_new(const struct dataset *d, const struct augment *a, int n);
void framers_free(struct framer **f, int n);

/* 3 x size x size bytes, valid until the next call. NULL with ERR_DATA or ERR_IO, which name the image. */
const uint8_t *framer_train(struct framer *f, int64_t epoch, int64_t sample, struct error *err);
const uint8_t *framer_eval(struct framer *f, int64_t sample, struct error *err);
/* An encoded image, whole; valid until the next call. Errors as above. */
const struct picture *framer_picture(struct framer *f, int64_t sample, struct error *err);

/* Bytes that one of them takes, as far as it can be known before. */
size_t framer_memory(const struct dataset *d);

#endif
