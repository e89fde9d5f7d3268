/* The graph of an ONNX classifier as a network of ours: its nodes are replayed with our operators, for any
 * batch. What is read are the operators of convolutional classifiers as torch.onnx.export (operator sets
 * 11 to 17) writes them; everything that depends on shapes alone is computed on the way. */
#ifndef WORKER_ONNX_IMPORT_H
#define WORKER_ONNX_IMPORT_H

#include "worker/models/model.h"
#include "worker/onnx/model.h"

/* A model's build (model.h). Weights, biases and what batch norms read become parameters and buffers under
 * the names that they have in the file. Batch norms use running statistics, or the batch's while training,
 * unless the file is taken as written; dropout is left out. A failure stays in the graph: ERR_UNSUPPORTED
 * names the node and what of it is not known here, ERR_DATA what does not fit. */
void onnx_build(const struct onnx_model *m, const struct net *n, value_id image, int64_t classes,
                struct model_outputs *out);

#endif
