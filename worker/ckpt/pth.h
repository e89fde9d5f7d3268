/* What torch.save makes of a state_dict (the zip form, PyTorch 1.6 and later), as tensors. The pickle in it
 * is read as data, nothing of it is executed (pickle.h). The state_dict is the file's dict itself or stands
 * under "model", "state_dict" or "model_state_dict"; what else is there (an optimiser's state, scores) is
 * ignored. ERR_DATA names the file, the tensor and what is wrong. */
#ifndef WORKER_CKPT_PTH_H
#define WORKER_CKPT_PTH_H

#include "worker/ckpt/safetensors.h"

struct pth;
/* The bytes must stay while it is open; `name` is for messages. */
struct pth *pth_open_memory(const void *data, size_t len, const char *name, struct error *err);
void pth_close(struct pth *p); /* NULL is fine */
/* Sorted by name; rows in C order. Data may be unaligned. */
const struct st_tensor *pth_tensors(const struct pth *p, size_t *n);

#endif
