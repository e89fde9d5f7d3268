/* The measuring device beside the engine: each pass as one primitive of oneDNN (the v2 C API), whose memory
 * lies as the primitive asks for. */
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "tests/bench/layers.h"

enum {
    MAX_ARGS = 4
};

struct onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    int n;
    dnnl_exec_arg_t args[MAX_ARGS];
    void *data[MAX_ARGS];
};

/* The arguments of each pass; 0 ends. */
static const int args_of[PASS_COUNT][MAX_ARGS] = {
    [PASS_FROZEN] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST},
    [PASS_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
    [PASS_INPUT_GRAD] = {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC},
    [PASS_WEIGHT_GRAD] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS},
};

/* The library's arrays have room for more dimensions than are used. */
static void dims_of(dnnl_dims_t out, const int64_t *dims, int n)
{
    memset(out, 0, sizeof(dnnl_dims_t));
    memcpy(out, dims, (size_t)n * sizeof(*dims));
}

static dnnl_memory_desc_t any_layout(const struct shape *s)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t dims;

    dims_of(dims, s->dim, s->rank);
    ASSERT(dnnl_memory_desc_init_by_tag(&md, s->rank, dims, dnnl_f32, dnnl_format_tag_any) ==
           dnnl_success);
    return md;
}

/* Groups have a dimension of their own. */
static dnnl_memory_desc_t weights_desc(const struct layer *l)
{
    const int64_t g = l->attr.group;
    const struct shape grouped = {5, {g, l->w.dim[0] / g, l->w.dim[1], l->w.dim[2], l->w.dim[3]}};

    return any_layout(g > 1 ? &grouped : &l->w);
}

static dnnl_status_t describe(const struct layer *l, enum pass pass, dnnl_convolution_desc_t *d)
{
    const dnnl_alg_kind_t alg = dnnl_convolution_direct;
    const struct shape b = shape1(l->w.dim[0]);
    const dnnl_memory_desc_t x = any_layout(&l->x), y = any_layout(&l->y), w = weights_desc(l);
    const dnnl_memory_desc_t bias = any_layout(&b);
    dnnl_dims_t strides, before, after;

    dims_of(strides, l->attr.strides, 2);
    dims_of(before, l->attr.pads, 2);
    dims_of(after, l->attr.pads + 2, 2);
    if (pass == PASS_INPUT_GRAD)
        return dnnl_convolution_backward_data_desc_init(d, alg, &x, &w, &y, strides, before, after);
    if (pass == PASS_WEIGHT_GRAD)
        return dnnl_convolution_backward_weights_desc_init(d, alg, &x, &w, NULL, &y, strides,
                                                           before, after);
    return dnnl_convolution_forward_desc_init(
        d, pass == PASS_FROZEN ? dnnl_forward_inference : dnnl_forward_training, alg, &x, &w,
        pass == PASS_FROZEN ? &bias : NULL, &y, strides, before, after);
}

static dnnl_primitive_attr_t relu_attr(void)
{
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t ops;

    ASSERT(dnnl_primitive_attr_create(&attr) == dnnl_success &&
           dnnl_post_ops_create(&ops) == dnnl_success &&
           dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0) == dnnl_success &&
           dnnl_primitive_attr_set_post_ops(attr, ops) == dnnl_success);
    dnnl_post_ops_destroy(ops);
    return attr;
}

/* Gradients ask for a forward primitive as a hint. */
static dnnl_status_t make_pd(dnnl_engine_t engine, const struct layer *l, enum pass pass,
                             dnnl_primitive_desc_t *pd)
{
    dnnl_primitive_attr_t attr = pass == PASS_FROZEN ? relu_attr() : NULL;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_convolution_desc_t d;
    dnnl_status_t status = dnnl_success;

    if (pass == PASS_INPUT_GRAD || pass == PASS_WEIGHT_GRAD)
        status = make_pd(engine, l, PASS_FORWARD, &hint);
    if (status == dnnl_success)
        status = describe(l, pass, &d);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(pd, &d, attr, engine, hint);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return status;
}

static bool add_arg(struct onednn *o, const_dnnl_primitive_desc_t pd, int arg)
{
    const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, arg);
    size_t bytes = dnnl_memory_desc_get_size(md);
    float *data = mem_try_aligned(64, bytes);

    ASSERT(data);
    for (size_t i = 0; i < bytes / sizeof(float); i++)
        data[i] = (float)(rng_uniform(1, i) - 0.5);
    o->data[o->n] = data;
    o->args[o->n].arg = arg;
    return dnnl_memory_create(&o->args[o->n++].memory, md, o->engine, data) == dnnl_success;
}

static double run(void *state)
{
    struct onednn *o = state;
    int64_t began = clock_mono_ns();

    dnnl_primitive_execute(o->primitive, o->stream, o->n, o->args);
    dnnl_stream_wait(o->stream);
    return (double)(clock_mono_ns() - began) * 1e-9;
}

static void free_onednn(void *state)
{
    struct onednn *o = state;

    for (int i = 0; i < o->n; i++) {
        dnnl_memory_destroy(o->args[i].memory);
        free(o->data[i]);
    }
    dnnl_primitive_destroy(o->primitive);
    dnnl_stream_destroy(o->stream);
    dnnl_engine_destroy(o->engine);
    free(o);
}

bool runner_onednn(struct runner *r, const struct layer *l, enum pass pass, struct error *err)
{
    struct onednn *o = NEW(struct onednn);
    dnnl_primitive_desc_t pd = NULL;
    bool ok;

    *r = (struct runner){.run = run, .free = free_onednn, .state = o};
    ok = dnnl_engine_create(&o->engine, dnnl_cpu, 0) == dnnl_success &&
         dnnl_stream_create(&o->stream, o->engine, dnnl_stream_default_flags) == dnnl_success &&
         make_pd(o->engine, l, pass, &pd) == dnnl_success &&
         dnnl_primitive_create(&o->primitive, pd) == dnnl_success &&
         dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&r->impl) ==
             dnnl_success;
    for (int i = 0; ok && i < MAX_ARGS && args_of[pass][i]; i++)
        ok = add_arg(o, pd, args_of[pass][i]);
    dnnl_primitive_desc_destroy(pd);
    return ok || err_set(err, ERR_UNSUPPORTED, "oneDNN has no direct convolution for this");
}
