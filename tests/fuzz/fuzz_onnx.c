/* ONNX: a file that opens has tensors with the bytes of their shapes, and its graph either stands up to
 * verification, with logits and features for each image, or says which node is wrong. */
#include <string.h>

#include "proto/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "worker/onnx/import.h"

enum {
    BATCH = 2,
    MAX_SIZE = 64
};

static int64_t size_of(int64_t wanted)
{
    return wanted > 0 && wanted <= MAX_SIZE ? wanted : 8;
}

static void build(const struct onnx_model *m, bool training)
{
    const int64_t *dims = onnx_ends_of(m)->dims;
    struct graph *g = graph_new();
    const struct net net = {.g = g, .training = training, .prefix = ""};
    value_id images =
        graph_input(g, "images", DT_REAL, shape4(BATCH, 3, size_of(dims[2]), size_of(dims[3])));
    struct model_outputs out;
    struct error err = {0};

    onnx_build(m, &net, images, 3, &out);
    if (graph_ok(g, &err)) {
        PROMISE(out.logits >= 0 && out.features >= 0 && out.logits != out.features);
        PROMISE(graph_shape(g, out.logits)->rank == 2 &&
                graph_shape(g, out.logits)->dim[0] == BATCH);
        PROMISE(graph_shape(g, out.features)->dim[0] == BATCH);
        PROMISE(graph_verify(g, &err));
    } else {
        PROMISE(strstr(err.msg, "input"));
    }
    graph_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct onnx_options options = {0};
    struct error err = {0};
    struct onnx_model *m = onnx_open_memory(data, size, "input", &options, &err);
    const struct st_tensor *t;
    size_t n = 0;

    PROMISE(m || strstr(err.msg, "input"));
    if (!m)
        return 0;
    t = onnx_tensors(m, &n);
    for (size_t i = 0; i < n; i++)
        PROMISE((size_t)st_count(&t[i]) * st_dtype_size(t[i].dtype) == t[i].bytes);
    build(m, false);
    build(m, true);
    onnx_close(m);
    return 0;
}
