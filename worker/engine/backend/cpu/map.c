/* Element by element on images, whatever their layout: what keeps zero zero, so that the channels that fill a
 * last block stay so. Other operators, and values of losses, go to the reference kernels. */
#include <omp.h>
#include <stdlib.h>

#include "proto/base/clones.h"
#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/backend/ref/ref.h"
#include "worker/engine/ops/ops.h"

enum {
    CHUNK = 4096 /* elements that a thread takes at a time */
};

struct map_kernel {
    struct kernel base;
    void (*run)(const struct map_kernel *k, void *const *args, int64_t from, int64_t to);
    int64_t n;
    float a, b; /* limits, or a factor */
    int threads;
};

#define MAP(name, n_in, expression)                                                      \
    CLONES static void name(const struct map_kernel *k, void *const *args, int64_t from, \
                            int64_t to)                                                  \
    {                                                                                    \
        const float *x = args[0], *z = args[(n_in)-1], a = k->a, b = k->b;               \
        float *y = args[n_in];                                                           \
                                                                                         \
        (void)z;                                                                         \
        (void)a;                                                                         \
        (void)b;                                                                         \
        _Pragma("omp simd") for (int64_t i = from; i < to; i++) y[i] = expression;       \
    }

MAP(run_sub, 2, x[i] - z[i])
MAP(run_mul, 2, x[i] * z[i])
MAP(run_scale, 1, a *x[i] + b)
MAP(run_clip, 1, x[i]<a ? a : x[i]> b ? b : x[i])
MAP(run_clip_grad, 2, x[i] > a && x[i] < b ? z[i] : 0)

static void run_map(struct kernel *base, void *const *args)
{
    const struct map_kernel *k = (const struct map_kernel *)base;

#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t from = 0; from < k->n; from += CHUNK)
        k->run(k, args, from, from + CHUNK < k->n ? from + CHUNK : k->n);
}

static void free_map(struct kernel *base)
{
    free(base);
}

static bool keeps_zero(const struct node *n)
{
    const struct clip_attr *clip = n->attr;

    if (n->op == &op_affine)
        return ((const struct affine_attr *)n->attr)->beta == 0;
    return n->op != &op_clip || (clip->min <= 0 && clip->max >= 0);
}

static bool map_layouts(struct cpu *c, const struct graph *g, const struct node *n, int *in,
                        int *out, struct error *err)
{
    int layout = keeps_zero(n) ? cpu_follow(c, g, n->in[0]) : LAYOUT_PLAIN;

    (void)err;
    for (int i = 0; i < n->n_in; i++)
        in[i] = layout;
    out[0] = layout;
    return true;
}

static const struct {
    const struct op_def *op;
    void (*run)(const struct map_kernel *k, void *const *args, int64_t from, int64_t to);
} rows[] = {
    {&op_sub, run_sub},
    {&op_mul, run_mul},
    {&op_affine, run_scale},
    {&op_clip, run_clip},
    {&op_clip_grad, run_clip_grad},
};

static struct kernel *map_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                 struct error *err)
{
    struct cpu_image image = cpu_image_of(c, g, n->in[0]);
    struct map_kernel *k = NEW(struct map_kernel);

    (void)err;
    k->base = (struct kernel){.run = run_map, .free = free_map, .impl = "map"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].op == n->op)
            k->run = rows[i].run;
    if (n->op == &op_affine) {
        k->a = (float)((const struct affine_attr *)n->attr)->alpha;
        k->b = (float)((const struct affine_attr *)n->attr)->beta;
    } else if (n->attr) {
        k->a = (float)((const struct clip_attr *)n->attr)->min;
        k->b = (float)((const struct clip_attr *)n->attr)->max;
    }
    k->n = image.samples * image.blocks * image.block * image.plane;
    k->threads = c->base.threads;
    return &k->base;
}

#define ROW(name, places)                                                             \
    {                                                                                 \
        .op = &name, .layouts = map_layouts, .kernel = map_kernel, .inplace = places, \
        .images_only = true                                                           \
    }

const struct cpu_op cpu_map_ops[] = {
    ROW(op_sub, 3u),  ROW(op_mul, 3u),       ROW(op_affine, 1u),
    ROW(op_clip, 1u), ROW(op_clip_grad, 3u), {.op = NULL},
};
