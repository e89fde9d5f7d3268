/* A graph as an ONNX model: operator set 17, for any runtime. */
#ifndef WORKER_ONNX_EXPORT_H
#define WORKER_ONNX_EXPORT_H

#include "worker/ckpt/safetensors.h"
#include "worker/engine/ir/graph.h"

struct onnx_labels {
    const char *graph_name;
    const char *const *outputs;       /* names of values, in the order of the file, up to NULL */
    const struct st_meta *properties; /* metadata */
    size_t n_properties;
};

/* Appends the file to out; the bytes depend on the arguments alone. Parameters must be constants by now
 * and keep their names; the first dimension of inputs and outputs is the batch, of any size.
 * ERR_UNSUPPORTED names a node whose operator has no form in ONNX here. */
bool onnx_export(const struct graph *g, const struct onnx_labels *labels, struct buf *out,
                 struct error *err);

#endif
