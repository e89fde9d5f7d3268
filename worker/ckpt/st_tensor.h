/* What reading, writing and hashing of safetensors share. */
#ifndef WORKER_CKPT_ST_TENSOR_H
#define WORKER_CKPT_ST_TENSOR_H

#include "proto/base/buf.h"
#include "worker/ckpt/safetensors.h"

/* Pointers to the tensors, by name; free(). */
const struct st_tensor **st_sorted(const struct st_tensor *tensors, size_t n);
/* What stands in front of the tensors, which lie in the order of their names; their data are not read. It is a
 * multiple of 8 bytes long. */
struct buf st_header(const struct st_tensor *tensors, size_t n, const struct st_meta *meta,
                     size_t n_meta);

#endif
