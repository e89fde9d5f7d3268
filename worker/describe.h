/* What a file of weights is: its format, and what it says of itself or is said of it. */
#ifndef WORKER_DESCRIBE_H
#define WORKER_DESCRIBE_H

#include "proto/base/error.h"
#include "proto/base/json.h"

/* What is said: members that are not NULL or 0. */
struct describe_request {
    const char *path;
    const char *model;
    int64_t classes, image_size;
    const char *mean, *std; /* "0.5,0.5,0.5" */
};

/* {"format", "architecture", "classes", "class_numbers", "image_size", "mean", "std", "data_sha256",
 * "teacher_sha256", "tensors_sha256"}, null where it is not known. Where model, classes and size are known,
 * the tensors must be that model's. ERR_INVALID when what is said is not what the file says; ERR_DATA for a
 * file that is damaged, or of no known format. */
struct json *describe_weights(const struct describe_request *r, struct error *err);

#endif
