/* An ONNX file, read and checked: a graph of named values, and the tensors that are in it. Reading limits
 * the memory that a file can make it take, and the number of nodes and tensors. */
#ifndef WORKER_ONNX_MODEL_H
#define WORKER_ONNX_MODEL_H

#include "proto/wire/onnx.pb-c.h"
#include "worker/ckpt/safetensors.h"

struct onnx_options {
    const char
        *features;   /* the value that is the features; NULL: what enters the last Gemm or MatMul */
    bool as_written; /* batch norms normalise as the file says; else as the job needs them */
};

/* Values go by number: the place of their name in order. */
struct onnx_value {
    const char *name;
    int node;                       /* which makes it; -1: an input or a tensor */
    const struct st_tensor *tensor; /* its numbers, if they are in the file */
};

struct onnx_model;
/* The file is closed again. ERR_DATA: not ONNX, or damaged; ERR_UNSUPPORTED: a version, or numbers in
 * another file; ERR_INVALID: options that do not fit. */
struct onnx_model *onnx_open(const char *path, const struct onnx_options *options,
                             struct error *err);
/* The same over bytes, which are not needed afterwards; `name` is for messages. */
struct onnx_model *onnx_open_memory(const void *data, size_t len, const char *name,
                                    const struct onnx_options *options, struct error *err);
void onnx_close(struct onnx_model *m); /* NULL is fine */

/* Whether the bytes begin as such a file does: its version, then its producer or graph. */
bool onnx_looks(const void *data, size_t len);
const char *onnx_path(const struct onnx_model *m);
bool onnx_as_written(const struct onnx_model *m);
/* Sorted by name: initialisers, constants, and one for every copy (Identity) of them, since exporters
 * write parameters that happen to be alike only once. */
const struct st_tensor *onnx_tensors(const struct onnx_model *m, size_t *n);
/* A string of the metadata, or NULL. */
const char *onnx_property(const struct onnx_model *m, const char *key);

/* Nodes in the order of the file, those that logits and features need. */
size_t onnx_nodes(const struct onnx_model *m);
const Onnx__Node *onnx_node(const struct onnx_model *m, size_t i);
bool onnx_needed(const struct onnx_model *m, size_t i);
size_t onnx_values(const struct onnx_model *m);
const struct onnx_value *onnx_value_at(const struct onnx_model *m, int v);
int onnx_find(const struct onnx_model *m, const char *name); /* -1: there is none */
/* How many inputs of needed nodes are this value. */
int onnx_uses(const struct onnx_model *m, int v);

struct onnx_ends {
    int image, logits, features; /* values */
    int64_t dims[4];             /* of the image; 0: any */
};
const struct onnx_ends *onnx_ends_of(const struct onnx_model *m);

#endif
