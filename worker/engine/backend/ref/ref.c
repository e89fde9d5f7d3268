#include "worker/engine/backend/ref/ref.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/engine/ops/ops.h"

/* Where the m-th copy of element t of `small` lies in `big`: along the dimensions in which `small` has 1
 * m counts, along the others t. */
static int64_t repeated(const struct shape *big, const struct shape *small, int64_t t, int64_t m)
{
    int64_t at = 0, step = 1;

    for (int i = big->rank; i-- > 0; step *= big->dim[i]) {
        int64_t *count = small->dim[i] == big->dim[i] ? &t : &m;

        at += *count % big->dim[i] * step;
        *count /= big->dim[i];
    }
    return at;
}

static int32_t load_byte(const void *bytes, int64_t t, enum dtype type)
{
    return type == DT_S8 ? ((const int8_t *)bytes)[t] : ((const uint8_t *)bytes)[t];
}

/* The nearest byte, of two the even one. */
static void store_byte(void *bytes, int64_t t, bool is_signed, float x)
{
    float lo = is_signed ? -128 : 0, hi = is_signed ? 127 : 255;

    x = x > lo ? x : lo;
    x = rintf(x < hi ? x : hi);
    if (is_signed)
        ((int8_t *)bytes)[t] = (int8_t)x;
    else
        ((uint8_t *)bytes)[t] = (uint8_t)x;
}

#define REAL     float
#define FN(name) f32_##name
#include "worker/engine/backend/ref/kernels.inc"
#include "worker/engine/backend/ref/move.inc"
#include "worker/engine/backend/ref/quant.inc"
#include "worker/engine/backend/ref/window.inc"
#undef REAL
#undef FN
#define REAL     double
#define FN(name) f64_##name
#include "worker/engine/backend/ref/kernels.inc"
#include "worker/engine/backend/ref/move.inc"
#include "worker/engine/backend/ref/quant.inc"
#include "worker/engine/backend/ref/window.inc"
#undef REAL
#undef FN

enum {
    IN_PLACE_NONE = 0,
    IN_PLACE_0 = 1,
    IN_PLACE_1 = 2,
    IN_PLACE_BOTH = 3
};

static const struct ref_row {
    const struct op_def *op;
    ref_fn f32, f64;
    unsigned inplace;
} rows[] = {
    {&op_conv, f32_conv, f64_conv, IN_PLACE_NONE},
    {&op_fused_conv, f32_conv, f64_conv, IN_PLACE_NONE},
    {&op_conv_input_grad, f32_conv_input_grad, f64_conv_input_grad, IN_PLACE_NONE},
    {&op_conv_weight_grad, f32_conv_weight_grad, f64_conv_weight_grad, IN_PLACE_NONE},
    {&op_quantise, f32_quantise, f64_quantise, IN_PLACE_NONE},
    {&op_dequantise, f32_dequantise, f64_dequantise, IN_PLACE_NONE},
    {&op_quant_conv, f32_quant_conv, f64_quant_conv, IN_PLACE_NONE},
    {&op_abs_max, f32_abs_max, f64_abs_max, IN_PLACE_NONE},
    {&op_batch_norm, f32_batch_norm, f64_batch_norm, IN_PLACE_0},
    {&op_batch_norm_grad, f32_batch_norm_grad, f64_batch_norm_grad, IN_PLACE_NONE},
    {&op_batch_norm_train, f32_batch_norm_train, f64_batch_norm_train, IN_PLACE_NONE},
    {&op_fused_batch_norm_train, f32_batch_norm_train, f64_batch_norm_train, IN_PLACE_NONE},
    {&op_batch_norm_train_grad, f32_batch_norm_train_grad, f64_batch_norm_train_grad,
     IN_PLACE_NONE},
    {&op_global_average_pool, f32_global_average_pool, f64_global_average_pool, IN_PLACE_NONE},
    {&op_global_average_pool_grad, f32_global_average_pool_grad, f64_global_average_pool_grad,
     IN_PLACE_NONE},
    {&op_max_pool, f32_max_pool, f64_max_pool, IN_PLACE_NONE},
    {&op_max_pool_grad, f32_max_pool_grad, f64_max_pool_grad, IN_PLACE_NONE},
    {&op_average_pool, f32_window_mean, f64_window_mean, IN_PLACE_NONE},
    {&op_average_pool_grad, f32_window_mean_grad, f64_window_mean_grad, IN_PLACE_NONE},
    {&op_adaptive_average_pool, f32_window_mean, f64_window_mean, IN_PLACE_NONE},
    {&op_adaptive_average_pool_grad, f32_window_mean_grad, f64_window_mean_grad, IN_PLACE_NONE},
    {&op_resize_nearest, f32_window_mean, f64_window_mean, IN_PLACE_NONE},
    {&op_resize_nearest_grad, f32_window_mean_grad, f64_window_mean_grad, IN_PLACE_NONE},
    {&op_concat, f32_concat, f64_concat, IN_PLACE_NONE},
    {&op_slice, f32_slice, f64_slice, IN_PLACE_NONE},
    {&op_pad_axis, f32_pad_axis, f64_pad_axis, IN_PLACE_NONE},
    {&op_transpose, f32_transpose, f64_transpose, IN_PLACE_NONE},
    {&op_channel_shuffle, f32_channel_shuffle, f64_channel_shuffle, IN_PLACE_NONE},
    {&op_broadcast, f32_broadcast, f64_broadcast, IN_PLACE_NONE},
    {&op_sum_to, f32_sum_to, f64_sum_to, IN_PLACE_NONE},
    {&op_gemm, f32_gemm, f64_gemm, IN_PLACE_NONE},
    {&op_add, f32_add, f64_add, IN_PLACE_BOTH},
    {&op_sub, f32_sub, f64_sub, IN_PLACE_BOTH},
    {&op_mul, f32_mul, f64_mul, IN_PLACE_BOTH},
    {&op_div, f32_div, f64_div, IN_PLACE_BOTH},
    {&op_exp, f32_exp, f64_exp, IN_PLACE_0},
    {&op_log, f32_log, f64_log, IN_PLACE_0},
    {&op_sqrt, f32_sqrt, f64_sqrt, IN_PLACE_0},
    {&op_relu, f32_relu, f64_relu, IN_PLACE_0},
    {&op_relu_grad, f32_relu_grad, f64_relu_grad, IN_PLACE_BOTH},
    {&op_clip, f32_clip, f64_clip, IN_PLACE_0},
    {&op_clip_grad, f32_clip_grad, f64_clip_grad, IN_PLACE_BOTH},
    {&op_sigmoid, f32_sigmoid, f64_sigmoid, IN_PLACE_0},
    {&op_sigmoid_grad, f32_sigmoid_grad, f64_sigmoid_grad, IN_PLACE_BOTH},
    {&op_affine, f32_affine, f64_affine, IN_PLACE_0},
    {&op_max, f32_max, f64_max, IN_PLACE_BOTH},
    {&op_max_grad, f32_max_grad, f64_max_grad, IN_PLACE_NONE},
    {&op_detach, f32_detach, f64_detach, IN_PLACE_0},
    {&op_reduce_sum, f32_reduce_sum, f64_reduce_sum, IN_PLACE_NONE},
    {&op_reduce_l2, f32_reduce_l2, f64_reduce_l2, IN_PLACE_NONE},
    {&op_reduce_l2_grad, f32_reduce_l2_grad, f64_reduce_l2_grad, IN_PLACE_0},
    {&op_expand, f32_expand, f64_expand, IN_PLACE_NONE},
    {&op_channel_sum, f32_channel_sum, f64_channel_sum, IN_PLACE_NONE},
    {&op_log_softmax, f32_log_softmax, f64_log_softmax, IN_PLACE_0},
    {&op_reduce_log_sum_exp, f32_reduce_log_sum_exp, f64_reduce_log_sum_exp, IN_PLACE_NONE},
    {&op_log_softmax_grad, f32_log_softmax_grad, f64_log_softmax_grad, IN_PLACE_BOTH},
    {&op_gather, f32_gather, f64_gather, IN_PLACE_NONE},
    {&op_pick, f32_pick, f64_pick, IN_PLACE_NONE},
    {&op_pick_grad, f32_pick_grad, f64_pick_grad, IN_PLACE_NONE},
    {&op_put, f32_put, f64_put, IN_PLACE_0},
    {&op_reorder, f32_reorder, f64_reorder, IN_PLACE_NONE},
};

static const struct ref_row *find_row(const struct op_def *op)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].op == op)
            return &rows[i];
    return NULL;
}

static void run(struct kernel *k, void *const *args)
{
    const struct ref_kernel *r = (const struct ref_kernel *)k;

    r->fn(r, args);
}

static void free_kernel(struct kernel *k)
{
    struct ref_kernel *r = (struct ref_kernel *)k;

    free(r->attr);
    free(r);
}

struct kernel *ref_kernel_new(const struct graph *g, const struct node *n, bool in_double,
                              struct error *err)
{
    const struct ref_row *row = find_row(n->op);
    struct ref_kernel *k;

    if (!row) {
        err_set(err, ERR_UNSUPPORTED, "the reference back end has no %s", n->op->name);
        return NULL;
    }
    k = NEW(struct ref_kernel);
    k->base = (struct kernel){.run = run, .free = free_kernel, .impl = in_double ? "ref64" : "ref"};
    k->fn = in_double ? row->f64 : row->f32;
    k->op = n->op;
    k->n_in = n->n_in;
    for (int i = 0; i < n->n_in; i++) {
        k->in[i] = *graph_shape(g, n->in[i]);
        k->in_type[i] = g->values.at[n->in[i]].dtype;
    }
    for (int i = 0; i < n->n_out; i++)
        k->out[i] = *graph_shape(g, n->out[i]);
    if (n->op->attr_size) {
        k->attr = mem_calloc(1, n->op->attr_size);
        memcpy(k->attr, n->attr, n->op->attr_size);
    }
    return &k->base;
}

unsigned ref_inplace(const struct node *n)
{
    const struct ref_row *row = find_row(n->op);

    return row ? row->inplace : 0;
}

static struct backend *open_def(const struct backend_def *def, int threads)
{
    struct backend *b = NEW(struct backend);

    b->def = def;
    b->threads = threads;
    return b;
}

static struct backend *open_f32(int threads, struct error *err)
{
    (void)err;
    return open_def(&backend_ref_f32, threads);
}

static struct backend *open_f64(int threads, struct error *err)
{
    (void)err;
    return open_def(&backend_ref_f64, threads);
}

static void close_ref(struct backend *b)
{
    free(b);
}

static bool layouts(struct backend *b, const struct graph *g, const struct node *n, int *in,
                    int *out, struct error *err)
{
    (void)b;
    (void)g;
    (void)err;
    for (int i = 0; i < n->n_in; i++)
        in[i] = LAYOUT_PLAIN;
    for (int i = 0; i < n->n_out; i++)
        out[i] = LAYOUT_PLAIN;
    return true;
}

static size_t bytes(struct backend *b, const struct value *v)
{
    return (size_t)shape_count(&v->shape) * dtype_bytes(v->dtype, b->def->real_size);
}

static unsigned inplace(struct backend *b, const struct graph *g, const struct node *n)
{
    (void)b;
    (void)g;
    return ref_inplace(n);
}

static struct kernel *kernel(struct backend *b, const struct graph *g, const struct node *n,
                             struct error *err)
{
    return ref_kernel_new(g, n, b->def->real_size == sizeof(double), err);
}

static const char *layout_name(struct backend *b, int layout)
{
    (void)b;
    (void)layout;
    return "plain";
}

const struct backend_def backend_ref_f32 = {
    .name = "ref",
    .real_size = sizeof(float),
    .open = open_f32,
    .close = close_ref,
    .layouts = layouts,
    .bytes = bytes,
    .inplace = inplace,
    .kernel = kernel,
    .layout_name = layout_name,
};

const struct backend_def backend_ref_f64 = {
    .name = "ref64",
    .real_size = sizeof(double),
    .open = open_f64,
    .close = close_ref,
    .layouts = layouts,
    .bytes = bytes,
    .inplace = inplace,
    .kernel = kernel,
    .layout_name = layout_name,
};
