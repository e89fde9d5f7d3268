/* Batch norm of blocked images: one block of channels after the other, each by one thread, so that the
 * number of threads does not show. Scale and shift of channels that fill a block are zero, as they are. Everything else goes to the reference kernels. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/bn_kernels.h"
#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/backend/ref/ref.h"
#include "worker/engine/ops/ops.h"

struct norm_kernel {
    struct kernel base;
    struct bn_image image; /* one block of channels */
    struct cpu_image all;
    double epsilon;
    bool relu, residual; /* a ReLU follows, an addition */
    int threads;
};

static double count(const struct norm_kernel *k)
{
    return (double)(k->image.samples * k->image.plane);
}

/* x, gamma, beta, mean, var -> y */
static void run_eval(struct kernel *base, void *const *args)
{
    const struct norm_kernel *k = (const struct norm_kernel *)base;
    const float *x = args[0], *gamma = args[1], *beta = args[2], *mean = args[3], *var = args[4];
    float *y = args[5];
    int block = k->image.block;

#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t b = 0; b < k->all.blocks; b++) {
        int64_t c = b * block, at = c * k->image.plane;
        double scale[BN_MAX_BLOCK] = {0}, shift[BN_MAX_BLOCK] = {0};

        for (int j = 0; j < cpu_live(&k->all, b); j++) {
            scale[j] = (double)gamma[c + j] / sqrt((double)var[c + j] + k->epsilon);
            shift[j] = (double)beta[c + j] - (double)mean[c + j] * scale[j];
        }
        bn_apply(&k->image, x + at, &(struct bn_affine){.scale = scale, .shift = shift}, y + at);
    }
}

/* x, gamma, beta[, residual] -> y, mean, var */
static void run_train(struct kernel *base, void *const *args)
{
    const struct norm_kernel *k = (const struct norm_kernel *)base;
    const float *x = args[0], *gamma = args[1], *beta = args[2];
    const float *residual = k->residual ? args[3] : NULL;
    float *const *out = (float *const *)args + (k->residual ? 4 : 3);
    float *y = out[0], *mean = out[1], *var = out[2];
    int block = k->image.block;

#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t b = 0; b < k->all.blocks; b++) {
        int64_t c = b * block, at = c * k->image.plane;
        double sum[BN_MAX_BLOCK], squares[BN_MAX_BLOCK];
        double scale[BN_MAX_BLOCK] = {0}, shift[BN_MAX_BLOCK] = {0};

        bn_sums(&k->image, x + at, sum, squares);
        for (int j = 0; j < cpu_live(&k->all, b); j++) {
            double m = sum[j] / count(k), v = squares[j] / count(k) - m * m;

            v = v > 0 ? v : 0;
            mean[c + j] = (float)m;
            var[c + j] = (float)v;
            scale[j] = (double)gamma[c + j] / sqrt(v + k->epsilon);
            shift[j] = (double)beta[c + j] - m * scale[j];
        }
        bn_apply(&k->image, x + at,
                 &(struct bn_affine){.scale = scale,
                                     .shift = shift,
                                     .residual = residual ? residual + at : NULL,
                                     .relu = k->relu},
                 y + at);
    }
}

/* x, gamma, mean, var, dy[, y] -> dx, dgamma, dbeta */
static void run_grad(struct kernel *base, void *const *args)
{
    const struct norm_kernel *k = (const struct norm_kernel *)base;
    const float *x = args[0], *gamma = args[1], *mean = args[2], *var = args[3], *dy = args[4];
    const float *y = k->relu ? args[5] : NULL;
    float *const *out = (float *const *)args + (k->relu ? 6 : 5);
    float *dx = out[0], *dgamma = out[1], *dbeta = out[2];
    int block = k->image.block;

#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t b = 0; b < k->all.blocks; b++) {
        int64_t c = b * block, at = c * k->image.plane;
        double sum[BN_MAX_BLOCK], dot[BN_MAX_BLOCK];
        double scale[BN_MAX_BLOCK] = {0}, slope[BN_MAX_BLOCK] = {0}, offset[BN_MAX_BLOCK] = {0};

        bn_grad_sums(&k->image, x + at,
                     &(struct bn_back){.dy = dy + at, .y = y ? y + at : NULL, .cut = dx + at}, sum,
                     dot);
        for (int j = 0; j < cpu_live(&k->all, b); j++) {
            double m = (double)mean[c + j], inv = 1 / sqrt((double)var[c + j] + k->epsilon);
            double centred = dot[j] - m * sum[j];

            dgamma[c + j] = (float)(centred * inv);
            dbeta[c + j] = (float)sum[j];
            scale[j] = (double)gamma[c + j] * inv;
            slope[j] = -scale[j] * centred * inv * inv / count(k);
            offset[j] = -scale[j] * sum[j] / count(k) - slope[j] * m;
        }
        bn_grad_apply(&k->image, x + at, (y ? dx : dy) + at, scale, slope, offset, dx + at);
    }
}

static void free_norm(struct kernel *k)
{
    free(k);
}

/* From which input on there are images besides x. */
static int first_image(const struct node *n)
{
    return n->op == &op_batch_norm_train_grad    ? 4
           : n->op == &op_fused_batch_norm_train ? 3
                                                 : n->n_in;
}

/* Images are blocked where the channels allow it; everything else is one number a channel. */
static bool norm_layouts(struct cpu *c, const struct graph *g, const struct node *n, int *in,
                         int *out, struct error *err)
{
    int x = cpu_image_layout(c, graph_shape(g, n->in[0]));

    (void)err;
    in[0] = out[0] = x;
    for (int i = 1; i < n->n_in; i++)
        in[i] = i >= first_image(n) ? x : LAYOUT_PLAIN;
    for (int i = 1; i < n->n_out; i++)
        out[i] = LAYOUT_PLAIN;
    return true;
}

static struct kernel *norm_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                  struct error *err)
{
    const struct norm_attr *attr = n->attr;
    struct norm_kernel *k;

    if (g->values.at[n->in[0]].layout != CPU_BLOCKED)
        return ref_kernel_new(g, n, false, err);
    k = NEW(struct norm_kernel);
    k->base = (struct kernel){.free = free_norm, .impl = "batch norm"};
    k->base.run = n->op == &op_batch_norm              ? run_eval
                  : n->op == &op_batch_norm_train_grad ? run_grad
                                                       : run_train;
    k->all = cpu_image_of(c, g, n->in[0]);
    k->image = (struct bn_image){.samples = k->all.samples,
                                 .stride = k->all.blocks * k->all.block * k->all.plane,
                                 .plane = k->all.plane,
                                 .block = k->all.block};
    k->epsilon = attr->epsilon;
    k->relu = attr->relu || (n->op == &op_batch_norm_train_grad && n->n_in > 5);
    k->residual = n->op == &op_fused_batch_norm_train && n->n_in > 3;
    k->threads = c->base.threads;
    return &k->base;
}

const struct cpu_op cpu_norm_ops[] = {
    {.op = &op_batch_norm, .layouts = norm_layouts, .kernel = norm_kernel, .inplace = 1u << 0},
    {.op = &op_batch_norm_train, .layouts = norm_layouts, .kernel = norm_kernel},
    {.op = &op_fused_batch_norm_train, .layouts = norm_layouts, .kernel = norm_kernel},
    {.op = &op_batch_norm_train_grad,
     .layouts = norm_layouts,
     .kernel = norm_kernel,
     .inplace = 1u << 4},
    {.op = NULL},
};
