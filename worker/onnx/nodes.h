/* Nodes of a graph as nodes of an ONNX file, operator by operator. Messages are built of single
 * allocations, as if they had been unpacked, so that one call releases a whole model. */
#ifndef WORKER_ONNX_NODES_H
#define WORKER_ONNX_NODES_H

#include "proto/base/mem.h"
#include "proto/wire/onnx.pb-c.h"
#include "worker/engine/ir/graph.h"

#define APPEND(message, member, item)                                                              \
    do {                                                                                           \
        (message)->member =                                                                        \
            mem_realloc((message)->member, (message)->n_##member + 1, sizeof(*(message)->member)); \
        (message)->member[(message)->n_##member++] = (item);                                       \
    } while (0)

/* Appends what computes n, and the initializers that it needs beyond the graph's own. ERR_UNSUPPORTED names
 * a node whose operator has no form in ONNX here. */
bool onnx_write_node(Onnx__Graph *to, const struct graph *g, const struct node *n,
                     struct error *err);
/* Copies `bytes` of data. */
Onnx__Tensor *onnx_make_tensor(char *take_name, Onnx__ElementType type, const int64_t *dims,
                               size_t rank, const void *data, size_t bytes);

#endif
