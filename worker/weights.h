/* Parameters from a safetensors file, for exactly one model: every tensor it needs, in its shape, and
 * nothing that belongs to another one. */
#ifndef WORKER_WEIGHTS_H
#define WORKER_WEIGHTS_H

#include "worker/ckpt/safetensors.h"
#include "worker/models/model.h"

struct weights {
    struct safetensors *file;
    const char *role; /* "teacher.weights", for messages */
};

/* ERR_DATA names the file, the tensor, what the model needs and what the file has. */
bool weights_open(struct weights *w, const char *role, const char *path,
                  const struct model_def *model, int64_t image_size, int64_t classes,
                  struct error *err);
void weights_close(struct weights *w); /* a closed one is fine */
/* A tensor_fn (replica.h) over struct weights. */
bool weights_tensor(void *weights, const char *name, const struct shape *shape, float *out,
                    struct error *err);
/* Identity of the tensors, whatever file they came in. */
void weights_sha256(const struct weights *w, char hex[SHA256_HEX]);

#endif
