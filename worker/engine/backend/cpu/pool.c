/* Global average pooling. The pooled value has one pixel, so its blocked form is the plain one. */
#include <stdlib.h>

#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/ops/ops.h"

struct pool_kernel {
    struct kernel base;
    struct cpu_image image;
};

static void run_pool(struct kernel *k, void *const *args)
{
    const struct cpu_image *im = &((const struct pool_kernel *)k)->image;
    const float *x = args[0];
    float *y = args[1];

    for (int64_t t = 0; t < im->samples * im->blocks; t++) {
        int live = cpu_live(im, t % im->blocks);
        double sum[CPU_MAX_BLOCK] = {0};

        for (int64_t i = 0; i < im->plane; i++, x += im->block)
            for (int j = 0; j < im->block; j++)
                sum[j] += (double)x[j];
        for (int j = 0; j < live; j++)
            *y++ = (float)(sum[j] / (double)im->plane);
    }
}

static void run_pool_grad(struct kernel *k, void *const *args)
{
    const struct cpu_image *im = &((const struct pool_kernel *)k)->image;
    const float *dy = args[0];
    float *dx = args[1];

    for (int64_t t = 0; t < im->samples * im->blocks; t++) {
        int live = cpu_live(im, t % im->blocks);
        float share[CPU_MAX_BLOCK] = {0};

        for (int j = 0; j < live; j++)
            share[j] = *dy++ / (float)im->plane;
        for (int64_t i = 0; i < im->plane; i++, dx += im->block)
            for (int j = 0; j < im->block; j++)
                dx[j] = share[j];
    }
}

static void free_pool(struct kernel *k)
{
    free(k);
}

static bool pool_layouts(struct cpu *c, const struct graph *g, const struct node *n, int *in,
                         int *out, struct error *err)
{
    (void)err;
    if (n->op == &op_global_average_pool) {
        in[0] = cpu_image_layout(c, graph_shape(g, n->in[0]));
        out[0] = LAYOUT_PLAIN;
    } else {
        in[0] = LAYOUT_PLAIN;
        out[0] = cpu_image_layout(c, graph_shape(g, n->out[0]));
    }
    return true;
}

static struct kernel *pool_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                  struct error *err)
{
    bool forward = n->op == &op_global_average_pool;
    struct pool_kernel *k = NEW(struct pool_kernel);

    (void)err;
    k->base = (struct kernel){
        .run = forward ? run_pool : run_pool_grad, .free = free_pool, .impl = "global pool"};
    k->image = cpu_image_of(c, g, forward ? n->in[0] : n->out[0]);
    return &k->base;
}

const struct cpu_op cpu_pool_ops[] = {
    {.op = &op_global_average_pool, .layouts = pool_layouts, .kernel = pool_kernel},
    {.op = &op_global_average_pool_grad, .layouts = pool_layouts, .kernel = pool_kernel},
    {.op = NULL},
};
