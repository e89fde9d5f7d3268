/* Global average pooling. The pooled value has one pixel, so its blocked form is the plain one. */
#include <stdlib.h>

#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/ops/ops.h"

struct pool_kernel {
    struct kernel base;
    int64_t outer; /* samples x blocks of channels */
    int64_t plane; /* pixels */
    int block;     /* channels that stand together; 1 in plain layout */
};

static void run_pool(struct kernel *k, void *const *args)
{
    const struct pool_kernel *p = (const struct pool_kernel *)k;
    const float *x = args[0];
    float *y = args[1];

    for (int64_t t = 0; t < p->outer; t++, y += p->block) {
        double sum[16] = {0};

        for (int64_t i = 0; i < p->plane; i++, x += p->block)
            for (int j = 0; j < p->block; j++)
                sum[j] += (double)x[j];
        for (int j = 0; j < p->block; j++)
            y[j] = (float)(sum[j] / (double)p->plane);
    }
}

static void run_pool_grad(struct kernel *k, void *const *args)
{
    const struct pool_kernel *p = (const struct pool_kernel *)k;
    const float *dy = args[0];
    float *dx = args[1];

    for (int64_t t = 0; t < p->outer; t++, dy += p->block) {
        float share[16];

        for (int j = 0; j < p->block; j++)
            share[j] = dy[j] / (float)p->plane;
        for (int64_t i = 0; i < p->plane; i++, dx += p->block)
            for (int j = 0; j < p->block; j++)
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
    value_id image = forward ? n->in[0] : n->out[0];
    const struct shape *s = graph_shape(g, image);
    struct pool_kernel *k = NEW(struct pool_kernel);

    (void)err;
    k->base = (struct kernel){
        .run = forward ? run_pool : run_pool_grad, .free = free_pool, .impl = "global pool"};
    k->block = g->values.at[image].layout == CPU_BLOCKED ? c->block : 1;
    k->outer = s->dim[0] * s->dim[1] / k->block;
    k->plane = s->dim[2] * s->dim[3];
    return &k->base;
}

const struct cpu_op cpu_pool_ops[] = {
    {.op = &op_global_average_pool, .layouts = pool_layouts, .kernel = pool_kernel},
    {.op = &op_global_average_pool_grad, .layouts = pool_layouts, .kernel = pool_kernel},
    {.op = NULL},
};
