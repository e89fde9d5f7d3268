/* What a model is made of: tensors, layers, parameters, multiply-adds, feature width. */
#ifndef WORKER_INSPECT_MODEL_H
#define WORKER_INSPECT_MODEL_H

#include "proto/base/json.h"
#include "worker/models/model.h"

/* An image of size x size at a time. A multiply-add is one multiplication and one addition, so two FLOP;
 * those of convolutions and linear layers count. */
bool inspect_model_text(const struct model_def *model, int64_t size, int64_t classes,
                        struct buf *out, struct error *err);
/* Sets members of `to`. */
bool inspect_model_json(const struct model_def *model, int64_t size, int64_t classes,
                        struct json *to, struct error *err);
/* All models of the registry: name, image_size and classes that it was made for, and the same figures. */
struct json *inspect_model_list(struct error *err);

#endif
