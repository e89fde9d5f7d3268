/* Named tensors of a file, whatever its format: safetensors, what torch.save writes (.pth), the
 * initialisers of ONNX. The format is told by the content, not by the file's name. */
#ifndef WORKER_TENSOR_FILE_H
#define WORKER_TENSOR_FILE_H

#include "worker/ckpt/safetensors.h"

struct tensor_file;
/* ERR_DATA names the file, the tensor and what is wrong. */
struct tensor_file *tensor_file_open(const char *path, struct error *err);
void tensor_file_close(struct tensor_file *f); /* NULL is fine */
const char *tensor_file_path(const struct tensor_file *f);
/* "safetensors", "pth" or "onnx" */
const char *tensor_file_format(const struct tensor_file *f);
/* Sorted by name. */
const struct st_tensor *tensor_file_tensors(const struct tensor_file *f, size_t *n);
/* A string of the metadata, or NULL. */
const char *tensor_file_meta(const struct tensor_file *f, const char *key);

#endif
