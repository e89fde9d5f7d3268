/* Parameters from a file of any format (tensor_file.h), for exactly one model: every tensor it needs, in its
 * shape, and nothing that belongs to another one. Names of other programs become the model's: see
 * weights.c. */
#ifndef WORKER_WEIGHTS_H
#define WORKER_WEIGHTS_H

#include "proto/base/vec.h"
#include "worker/models/model.h"
#include "worker/tensor_file.h"

struct weights {
    struct tensor_file *file;
    const char *role;           /* "teacher.weights", for messages */
    VEC(struct st_tensor) list; /* by name; the names are ours */
    char *structure;            /* of a model that came from a file: its graph as text; else NULL */
};

/* ERR_DATA names the file, the tensor, what the model needs and what the file has. */
bool weights_open(struct weights *w, const char *role, const char *path,
                  const struct model_def *model, int64_t image_size, int64_t classes,
                  struct error *err);
void weights_close(struct weights *w); /* a closed one is fine */
/* A tensor_fn (replica.h) over struct weights. */
bool weights_tensor(void *weights, const char *name, const struct shape *shape, float *out,
                    struct error *err);
/* Identity of the tensors, whatever file they came in, and of the structure. */
void weights_sha256(const struct weights *w, char hex[SHA256_HEX]);

#endif
