/* Trained weights for other programs, with everything it takes to use them; class means too. */
#ifndef WORKER_EXPORT_H
#define WORKER_EXPORT_H

#include <stdint.h>

#include "proto/base/error.h"

/* onnx: input "image" [batch,3,S,S]: pixels / 255, less the mean, over the deviation; outputs "logits" and
 *       "features".
 * safetensors: tensors under PyTorch's names, complete for load_state_dict.
 * json: class means in the form of the paper's authors. */
struct export_format;
const struct export_format *export_format(const char *name, struct error *err); /* ERR_INVALID */
/* The file of a run's folder that the format is made of. */
const char *export_source(const struct export_format *f);
/* What the format's file is called by default, in the folder of `from`; free(). */
char *export_target(const struct export_format *f, const char *from);

/* A student's file says by itself what it is (state_save_student). For other files, and to say it
 * otherwise: members that are not NULL or 0. */
struct export_request {
    const struct export_format *format;
    const char *from, *out;
    const char *model;
    const char *graph, *features; /* of the model "onnx": job_models.h; graph NULL: `from` */
    int64_t classes, image_size;
    const char *mean, *std; /* "0.5,0.5,0.5", of the channels for pixels in 0..1 */
};

/* Metadata of onnx and safetensors: model, classes, class_numbers, image_size, mean, std, weights_sha256, and
 * of the run spec_sha256, data_sha256, teacher_sha256. Replaces `out` atomically. ERR_INVALID says what is
 * not known of the weights, ERR_DATA what does not fit. */
bool export_file(const struct export_request *r, struct error *err);

#endif
