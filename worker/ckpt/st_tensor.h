/* What reading, writing and hashing of safetensors share. */
#ifndef WORKER_CKPT_ST_TENSOR_H
#define WORKER_CKPT_ST_TENSOR_H

#include "worker/ckpt/safetensors.h"

/* Pointers to the tensors, by name; free(). */
const struct st_tensor **st_sorted(const struct st_tensor *tensors, size_t n);

#endif
