/* oneDNN behind the back-end table. Only this folder knows oneDNN (the v2 C API, as Debian has it).
 *
 * Image activations live in its blocked layout (nChw16c with AVX-512, nChw8c otherwise) from the first
 * convolution to the pooled features, unless they have so few channels that blocks would be mostly filling;
 * channels that fill a last block are zero, and every kernel keeps them so. Weights live in whatever layout
 * the chosen primitive asks for. Small values of the losses are plain and go
 * through the reference kernels in float. What convolutions of bytes read and write has its channels side by
 * side (nhwc), as oneDNN's kernels want it. */
#ifndef WORKER_ENGINE_BACKEND_CPU_CPU_H
#define WORKER_ENGINE_BACKEND_CPU_CPU_H

#include <oneapi/dnnl/dnnl.h>

#include "proto/base/vec.h"
#include "worker/engine/backend/backend.h"
#include "worker/engine/backend/cpu/simd.h"

/* Layouts: 0 plain, 1 blocked activations, above: memory descriptors that primitives asked for. */
enum {
    CPU_BLOCKED = 1,
    CPU_OPAQUE = 2
};

enum {
    CPU_TAG = 40
};
struct cpu_layout {
    dnnl_memory_desc_t md;
    char *tag;
};

struct cpu {
    struct backend base;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    enum simd simd;
    int block; /* channels in a block: 16 with AVX-512, else 8 */
    VEC(struct cpu_layout) opaque;
};

/* What a row of the operator table says. Both get the node with its final layouts in the graph;
 * layouts() decides them. NULL layouts: follow input 0 in all inputs and outputs. */
struct cpu_op {
    const struct op_def *op;
    bool (*layouts)(struct cpu *c, const struct graph *g, const struct node *n, int *in, int *out,
                    struct error *err);
    struct kernel *(*kernel)(struct cpu *c, const struct graph *g, const struct node *n,
                             struct error *err);
    unsigned inplace;
    bool images_only; /* other values go to the reference kernel */
};
extern const struct cpu_op cpu_conv_ops[], cpu_norm_ops[], cpu_pool_ops[], cpu_window_ops[],
    cpu_channel_ops[], cpu_broadcast_ops[], cpu_eltwise_ops[], cpu_map_ops[], cpu_gemm_ops[],
    cpu_quant_ops[], cpu_quant_conv_ops[], cpu_reorder_ops[]; /* each ends with op NULL */

/* Memory descriptors. */
dnnl_memory_desc_t cpu_md(const struct cpu *c, const struct graph *g, value_id v);
dnnl_memory_desc_t cpu_md_as(const struct cpu *c, const struct shape *s, int layout);
/* An image with its channels side by side, and the layout that this is; of one pixel that is plain. */
dnnl_memory_desc_t cpu_pixels_md(const struct shape *s, enum dtype type);
int cpu_pixels_layout(struct cpu *c, const struct shape *s, enum dtype type);
dnnl_data_type_t cpu_data_type(enum dtype type);
/* The number of the layout that is this descriptor; plain if it is row-major. */
int cpu_layout_of(struct cpu *c, const dnnl_memory_desc_t *md);
/* How oneDNN writes it: dimensions a, b, ... from the slowest to the fastest, upper case where they are cut,
 * and the blocks: "ABcd16b16a". Written to out, which is returned. */
const char *cpu_tag(const dnnl_memory_desc_t *md, char out[CPU_TAG]);
/* Row-major, with the dimensions of md (which for grouped weights has one more than the value) and its type. */
dnnl_memory_desc_t cpu_plain_like(const dnnl_memory_desc_t *md);
/* Blocks that so many channels take. */
int64_t cpu_blocks(const struct cpu *c, int64_t channels);
/* Blocked if the channels fill most of their blocks. */
int cpu_image_layout(const struct cpu *c, const struct shape *s);
/* For operators that take a value as it lies: how it lies, if that is plain or blocked, else its best layout. */
int cpu_follow(const struct cpu *c, const struct graph *g, value_id v);

/* How an image lies in memory: for each sample `blocks` planes, of `plane` pixels, of `block` channels side
 * by side; in plain layout a block is one channel. */
enum {
    CPU_MAX_BLOCK = 16
};
struct cpu_image {
    int64_t samples, channels, blocks, plane;
    int block;
};
struct cpu_image cpu_image_of(const struct cpu *c, const struct graph *g, value_id v);
/* Channels of the b-th block that are not filling. */
static inline int cpu_live(const struct cpu_image *im, int64_t b)
{
    int64_t left = im->channels - b * im->block;

    return left < im->block ? (int)left : im->block;
}

/* False with ERR_UNSUPPORTED or ERR_FAILED and the call's name. */
bool cpu_ok(dnnl_status_t status, const char *call, struct error *err);
dnnl_primitive_attr_t cpu_attr(void); /* scratchpad given by the caller */

/* A kernel that executes one primitive. map[i] tells which of the kernel's args is the primitive's
 * argument arg[i]. Takes pd, and attr if there is one. */
struct cpu_arg {
    int dnnl_arg;
    int index;
};
enum {
    CPU_MAX_ARGS = 10
};
struct cpu_kernel {
    struct kernel base;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    int n;
    int index[CPU_MAX_ARGS];
    void *bound[CPU_MAX_ARGS];
    dnnl_exec_arg_t exec[CPU_MAX_ARGS];
    /* FusedConv with a residual: what the result starts from when it is not in place already. */
    int residual, dst; /* indexes in args; residual -1: none */
    size_t dst_bytes;
};
struct kernel *cpu_primitive_kernel(struct cpu *c, dnnl_primitive_desc_t take_pd, int n_args,
                                    const struct cpu_arg *args, int scratch_index,
                                    struct error *err);
void cpu_execute(struct kernel *k, void *const *args);

#endif
