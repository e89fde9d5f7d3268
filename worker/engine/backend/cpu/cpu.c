#include "worker/engine/backend/cpu/cpu.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/engine/backend/ref/ref.h"
#include "worker/engine/ops/ops.h"

static const struct cpu_op *const groups[] = {
    cpu_conv_ops,    cpu_norm_ops,    cpu_pool_ops,       cpu_window_ops,
    cpu_channel_ops, cpu_eltwise_ops, cpu_map_ops,        cpu_broadcast_ops,
    cpu_gemm_ops,    cpu_quant_ops,   cpu_quant_conv_ops, cpu_reorder_ops,
};

static struct cpu *self(struct backend *b)
{
    return (struct cpu *)b;
}

/* NULL: the reference kernel serves. */
static const struct cpu_op *find(const struct op_def *op)
{
    for (size_t i = 0; i < ARRAY_LEN(groups); i++)
        for (const struct cpu_op *row = groups[i]; row->op; row++)
            if (row->op == op)
                return row;
    return NULL;
}

bool cpu_ok(dnnl_status_t status, const char *call, struct error *err)
{
    if (status == dnnl_success)
        return true;
    return err_set(err, status == dnnl_unimplemented ? ERR_UNSUPPORTED : ERR_FAILED,
                   "oneDNN %s: %s", call,
                   status == dnnl_unimplemented       ? "not implemented for these shapes"
                   : status == dnnl_out_of_memory     ? "out of memory"
                   : status == dnnl_invalid_arguments ? "invalid arguments"
                                                      : "failed");
}

dnnl_primitive_attr_t cpu_attr(void)
{
    dnnl_primitive_attr_t attr;

    ASSERT(dnnl_primitive_attr_create(&attr) == dnnl_success);
    ASSERT(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) ==
           dnnl_success);
    return attr;
}

dnnl_data_type_t cpu_data_type(enum dtype type)
{
    return type == DT_U8 ? dnnl_u8 : type == DT_S8 ? dnnl_s8 : dnnl_f32;
}

static dnnl_memory_desc_t md_of(int rank, const dnnl_dim_t *dims, dnnl_data_type_t type,
                                dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t d = {1};

    for (int i = 0; i < rank; i++)
        d[i] = dims[i];
    ASSERT(dnnl_memory_desc_init_by_tag(&md, rank ? rank : 1, d, type, tag) == dnnl_success);
    return md;
}

static dnnl_format_tag_t plain_tag(int rank)
{
    static const dnnl_format_tag_t tags[] = {dnnl_a,    dnnl_a,     dnnl_ab,    dnnl_abc,
                                             dnnl_abcd, dnnl_abcde, dnnl_abcdef};

    return tags[rank];
}

dnnl_memory_desc_t cpu_md_as(const struct cpu *c, const struct shape *s, int layout)
{
    if (layout >= CPU_OPAQUE)
        return c->opaque.at[layout - CPU_OPAQUE].md;
    if (layout == CPU_BLOCKED)
        return md_of(4, s->dim, dnnl_f32, c->block == 16 ? dnnl_nChw16c : dnnl_nChw8c);
    return md_of(s->rank, s->dim, dnnl_f32, plain_tag(s->rank));
}

dnnl_memory_desc_t cpu_md(const struct cpu *c, const struct graph *g, value_id v)
{
    const struct value *value = &g->values.at[v];

    if (value->layout != LAYOUT_PLAIN)
        return cpu_md_as(c, &value->shape, value->layout);
    return md_of(value->shape.rank, value->shape.dim, cpu_data_type(value->dtype),
                 plain_tag(value->shape.rank));
}

dnnl_memory_desc_t cpu_pixels_md(const struct shape *s, enum dtype type)
{
    return md_of(4, s->dim, cpu_data_type(type), dnnl_nhwc);
}

int cpu_pixels_layout(struct cpu *c, const struct shape *s, enum dtype type)
{
    dnnl_memory_desc_t md = cpu_pixels_md(s, type);

    return cpu_layout_of(c, &md);
}

dnnl_memory_desc_t cpu_plain_like(const dnnl_memory_desc_t *md)
{
    return md_of(md->ndims, md->dims, md->data_type, plain_tag(md->ndims));
}

const char *cpu_tag(const dnnl_memory_desc_t *md, char out[CPU_TAG])
{
    const dnnl_blocking_desc_t *b = &md->format_desc.blocking;
    bool cut[DNNL_MAX_NDIMS] = {false}, taken[DNNL_MAX_NDIMS] = {false};
    int at = 0;

    for (int i = 0; i < b->inner_nblks; i++)
        cut[b->inner_idxs[i]] = true;
    for (int i = 0; i < md->ndims; i++) {
        int slowest = -1;

        for (int d = 0; d < md->ndims; d++)
            if (!taken[d] && (slowest < 0 || b->strides[d] > b->strides[slowest]))
                slowest = d;
        taken[slowest] = true;
        out[at++] = (char)((cut[slowest] ? 'A' : 'a') + slowest);
    }
    out[at] = '\0';
    for (int i = 0; i < b->inner_nblks && at < CPU_TAG - 8; i++)
        at += snprintf(out + at, 8, "%d%c", (int)b->inner_blks[i], (char)('a' + b->inner_idxs[i]));
    return out;
}

int cpu_layout_of(struct cpu *c, const dnnl_memory_desc_t *md)
{
    dnnl_memory_desc_t plain = cpu_plain_like(md);
    char tag[CPU_TAG];

    if (dnnl_memory_desc_equal(md, &plain))
        return LAYOUT_PLAIN;
    for (size_t i = 0; i < c->opaque.n; i++)
        if (dnnl_memory_desc_equal(md, &c->opaque.at[i].md))
            return CPU_OPAQUE + (int)i;
    vec_push(&c->opaque, (struct cpu_layout){*md, str_dup(cpu_tag(md, tag))});
    return CPU_OPAQUE + (int)c->opaque.n - 1;
}

int64_t cpu_blocks(const struct cpu *c, int64_t channels)
{
    return (channels + c->block - 1) / c->block;
}

int cpu_image_layout(const struct cpu *c, const struct shape *s)
{
    return s->rank == 4 && 2 * cpu_blocks(c, s->dim[1]) * c->block <= 3 * s->dim[1] ? CPU_BLOCKED
                                                                                    : LAYOUT_PLAIN;
}

int cpu_follow(const struct cpu *c, const struct graph *g, value_id v)
{
    const struct value *value = &g->values.at[v];

    return value->layout >= CPU_OPAQUE ? cpu_image_layout(c, &value->shape) : value->layout;
}

struct cpu_image cpu_image_of(const struct cpu *c, const struct graph *g, value_id v)
{
    const struct shape *s = graph_shape(g, v);
    bool blocked = g->values.at[v].layout == CPU_BLOCKED;

    ASSERT(g->values.at[v].layout < CPU_OPAQUE);
    return (struct cpu_image){.samples = s->dim[0],
                              .channels = s->dim[1],
                              .blocks = blocked ? cpu_blocks(c, s->dim[1]) : s->dim[1],
                              .plane = s->dim[2] * s->dim[3],
                              .block = blocked ? c->block : 1};
}

void cpu_execute(struct kernel *k, void *const *args)
{
    struct cpu_kernel *p = (struct cpu_kernel *)k;

    if (p->residual >= 0 && args[p->residual] != args[p->dst])
        memcpy(args[p->dst], args[p->residual], p->dst_bytes);
    for (int i = 0; i < p->n; i++)
        if (p->bound[i] != args[p->index[i]]) {
            p->bound[i] = args[p->index[i]];
            ASSERT(dnnl_memory_set_data_handle(p->exec[i].memory, p->bound[i]) == dnnl_success);
        }
    ASSERT(dnnl_primitive_execute(p->primitive, p->stream, p->n, p->exec) == dnnl_success);
}

static void free_primitive_kernel(struct kernel *k)
{
    struct cpu_kernel *p = (struct cpu_kernel *)k;

    for (int i = 0; i < p->n; i++)
        dnnl_memory_destroy(p->exec[i].memory);
    if (p->primitive)
        dnnl_primitive_destroy(p->primitive);
    free(p);
}

/* One argument of the primitive, with the memory descriptor that the primitive says it has. */
static bool add_arg(struct cpu *c, struct cpu_kernel *k, dnnl_primitive_desc_t pd, struct cpu_arg a,
                    struct error *err)
{
    const dnnl_memory_desc_t *md =
        dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, a.dnnl_arg);
    dnnl_memory_t memory;

    if (!cpu_ok(dnnl_memory_create(&memory, md, c->engine, DNNL_MEMORY_NONE), "memory", err))
        return false;
    k->index[k->n] = a.index;
    k->exec[k->n++] = (dnnl_exec_arg_t){a.dnnl_arg, memory};
    return true;
}

struct kernel *cpu_primitive_kernel(struct cpu *c, dnnl_primitive_desc_t take_pd, int n_args,
                                    const struct cpu_arg *args, int scratch_index,
                                    struct error *err)
{
    struct cpu_kernel *k = NEW(struct cpu_kernel);
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(take_pd, dnnl_query_scratchpad_md, 0);
    bool ok = true;

    k->base = (struct kernel){.run = cpu_execute, .free = free_primitive_kernel, .impl = "oneDNN"};
    k->stream = c->stream;
    k->residual = -1;
    k->base.scratch_bytes = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
    dnnl_primitive_desc_query(take_pd, dnnl_query_impl_info_str, 0, &k->base.impl);
    for (int i = 0; i < n_args && ok; i++)
        ok = add_arg(c, k, take_pd, args[i], err);
    if (ok && k->base.scratch_bytes)
        ok = add_arg(c, k, take_pd, (struct cpu_arg){DNNL_ARG_SCRATCHPAD, scratch_index}, err);
    ok = ok && cpu_ok(dnnl_primitive_create(&k->primitive, take_pd), "primitive", err);
    dnnl_primitive_desc_destroy(take_pd);
    if (ok)
        return &k->base;
    free_primitive_kernel(&k->base);
    return NULL;
}

static void close_cpu(struct backend *b)
{
    struct cpu *c = self(b);

    for (size_t i = 0; i < c->opaque.n; i++)
        free(c->opaque.at[i].tag);
    vec_free(&c->opaque);
    if (c->stream)
        dnnl_stream_destroy(c->stream);
    if (c->engine)
        dnnl_engine_destroy(c->engine);
    free(c);
}

/* From the best to the least. */
static const struct {
    int isa;
    const char *name;
} isas[] = {
    {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
    {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
    {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
    {dnnl_cpu_isa_avx512_core, "avx512_core"},
    {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
    {dnnl_cpu_isa_avx2, "avx2"},
    {dnnl_cpu_isa_avx, "avx"},
};

static bool has_isa(int wanted)
{
    return ((int)dnnl_get_effective_cpu_isa() & wanted) == wanted;
}

static enum simd find_simd(void)
{
    if (has_isa(dnnl_cpu_isa_avx512_core))
        return SIMD_AVX512;
    return has_isa(dnnl_cpu_isa_avx2) && __builtin_cpu_supports("fma") ? SIMD_AVX2 : SIMD_NONE;
}

static struct backend *open_cpu(int threads, struct error *err)
{
    struct cpu *c = NEW(struct cpu);

    c->base.def = &backend_cpu;
    c->base.threads = threads;
    c->simd = find_simd();
    c->block = c->simd == SIMD_AVX512 ? 16 : 8;
    /* Before any primitive exists: the number of threads decides how work is cut. */
    omp_set_dynamic(0);
    omp_set_num_threads(threads);
    if (cpu_ok(dnnl_engine_create(&c->engine, dnnl_cpu, 0), "engine", err) &&
        cpu_ok(dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags), "stream", err))
        return &c->base;
    close_cpu(&c->base);
    return NULL;
}

/* Without a rule of its own an operator takes plain values (reference kernel), or follows input 0. */
static bool layouts(struct backend *b, const struct graph *g, const struct node *n, int *in,
                    int *out, struct error *err)
{
    const struct cpu_op *row = find(n->op);
    int follow = row ? cpu_follow(self(b), g, n->in[0]) : LAYOUT_PLAIN;

    if (row && row->layouts)
        return row->layouts(self(b), g, n, in, out, err);
    for (int i = 0; i < n->n_in; i++)
        in[i] = follow;
    for (int i = 0; i < n->n_out; i++)
        out[i] = follow;
    return true;
}

static size_t bytes(struct backend *b, const struct value *v)
{
    dnnl_memory_desc_t md;

    if (v->layout == LAYOUT_PLAIN || v->dtype == DT_INDEX)
        return (size_t)shape_count(&v->shape) * dtype_bytes(v->dtype, sizeof(float));
    md = cpu_md_as(self(b), &v->shape, v->layout);
    return dnnl_memory_desc_get_size(&md);
}

/* The row that serves a node, or NULL for the reference kernel: it has none, or its values are so small
 * (those of losses) that a primitive is not worth it. */
static const struct cpu_op *serves(const struct graph *g, const struct node *n)
{
    const struct cpu_op *row = find(n->op);

    return row && row->images_only && graph_shape(g, n->in[0])->rank != 4 ? NULL : row;
}

static unsigned inplace(struct backend *b, const struct graph *g, const struct node *n)
{
    const struct cpu_op *row = serves(g, n);

    (void)b;
    return row ? row->inplace : ref_inplace(n);
}

static struct kernel *kernel(struct backend *b, const struct graph *g, const struct node *n,
                             struct error *err)
{
    const struct cpu_op *row = serves(g, n);

    return row ? row->kernel(self(b), g, n, err) : ref_kernel_new(g, n, false, err);
}

static const char *layout_name(struct backend *b, int layout)
{
    struct cpu *c = self(b);

    if (layout == LAYOUT_PLAIN)
        return "plain";
    if (layout == CPU_BLOCKED)
        return c->block == 16 ? "nChw16c" : "nChw8c";
    return c->opaque.at[layout - CPU_OPAQUE].tag;
}

static const char *isa_name(void)
{
    for (size_t i = 0; i < ARRAY_LEN(isas); i++)
        if (has_isa(isas[i].isa))
            return isas[i].name;
    return "sse41";
}

bool backend_multiplies_bytes(struct error *err)
{
    return has_isa(dnnl_cpu_isa_avx512_core_vnni) || has_isa(dnnl_cpu_isa_avx2_vnni) ||
           err_set(err, ERR_UNSUPPORTED,
                   "int8 needs a processor with avx512_core_vnni or avx2_vnni, got %s", isa_name());
}

const char *backend_isa(void)
{
    static char text[160];
    const dnnl_version_t *v = dnnl_version();

    snprintf(text, sizeof(text), "%s, oneDNN %d.%d.%d, kernels 3, caches %ldK %ldK %ldK",
             isa_name(), v->major, v->minor, v->patch, sysconf(_SC_LEVEL1_DCACHE_SIZE) / 1024,
             sysconf(_SC_LEVEL2_CACHE_SIZE) / 1024, sysconf(_SC_LEVEL3_CACHE_SIZE) / 1024);
    return text;
}

const struct backend_def backend_cpu = {
    .name = "cpu",
    .real_size = sizeof(float),
    .open = open_cpu,
    .close = close_cpu,
    .layouts = layouts,
    .bytes = bytes,
    .inplace = inplace,
    .kernel = kernel,
    .layout_name = layout_name,
};
