/* Trained weights as an ONNX model with everything it takes to use them. */
#ifndef WORKER_EXPORT_H
#define WORKER_EXPORT_H

#include <stdint.h>

#include "proto/base/error.h"

/* A student's file says by itself what it is (state_save_student). For other files, and to say it
 * otherwise: members that are not NULL or 0. */
struct export_request {
    const char *weights, *out;
    const char *model;
    int64_t classes, image_size;
    const char *mean, *std; /* "0.5,0.5,0.5", of the channels for pixels in 0..1 */
};

/* Input "image" [batch,3,S,S]: pixels / 255, less the mean, over the deviation. Outputs "logits" and
 * "features". Metadata: model, classes, class_numbers, image_size, mean, std, weights_sha256, and of the
 * run spec_sha256, data_sha256, teacher_sha256. Replaces `out` atomically. ERR_INVALID says what is not
 * known of the weights, ERR_DATA what does not fit. */
bool export_onnx(const struct export_request *r, struct error *err);

#endif
