/* Pooling and resizing, channels side by side: in blocked layout a block of them is handled at once, in plain
 * layout one. Planes are dealt to threads, which does not show in the result. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clones.h"
#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/ops/ops.h"

#define INLINE static inline __attribute__((always_inline))

/* A plane is what one sample has of one block of channels. */
struct window_kernel {
    struct kernel base;
    void (*run)(const struct window_kernel *k, void *const *args, int64_t plane);
    int64_t planes, height, width; /* of the input, or of what a gradient is for */
    int64_t out_height, out_width;
    struct window *rows, *columns; /* of each output row and column */
    int block, threads;
};

static int64_t large(const struct window_kernel *k, int64_t plane)
{
    return plane * k->height * k->width * k->block;
}

static int64_t small(const struct window_kernel *k, int64_t plane)
{
    return plane * k->out_height * k->out_width * k->block;
}

#define FOR_PIXELS(k, i, j)                               \
    for (int64_t i = 0, t_ = 0; i < (k)->out_height; i++) \
        for (int64_t j = 0; j < (k)->out_width; j++, t_++)
#define FOR_WINDOW(r, c, v, u)                \
    for (int64_t v = (r).lo; v < (r).hi; v++) \
        for (int64_t u = (c).lo; u < (c).hi; u++)
#define FOR_LANES(b, block) _Pragma("omp simd") for (int b = 0; b < (block); b++)

INLINE void max_plane(const struct window_kernel *k, const float *x, float *y, int block)
{
    FOR_PIXELS(k, i, j)
    {
        struct window r = k->rows[i], c = k->columns[j];
        float best[CPU_MAX_BLOCK];

        memcpy(best, x + (r.lo * k->width + c.lo) * block, (size_t)block * sizeof(float));
        FOR_WINDOW(r, c, v, u)
        {
            const float *at = x + (v * k->width + u) * block;

            FOR_LANES(b, block)
            best[b] = at[b] > best[b] ? at[b] : best[b];
        }
        memcpy(y, best, (size_t)block * sizeof(float));
        y += block;
    }
}

/* dx is zero. */
INLINE void max_grad_plane(const struct window_kernel *k, const float *x, const float *dy,
                           float *dx, int block)
{
    FOR_PIXELS(k, i, j)
    {
        struct window r = k->rows[i], c = k->columns[j];
        float best[CPU_MAX_BLOCK];
        int32_t where[CPU_MAX_BLOCK], first = (int32_t)(r.lo * k->width + c.lo);

        for (int b = 0; b < block; b++) {
            best[b] = x[first * block + b];
            where[b] = first;
        }
        FOR_WINDOW(r, c, v, u)
        {
            int32_t pixel = (int32_t)(v * k->width + u);
            const float *at = x + (int64_t)pixel * block;

            FOR_LANES(b, block)
            {
                where[b] = at[b] > best[b] ? pixel : where[b];
                best[b] = at[b] > best[b] ? at[b] : best[b];
            }
        }
        for (int b = 0; b < block; b++)
            dx[(int64_t)where[b] * block + b] += dy[b];
        dy += block;
    }
}

INLINE void mean_plane(const struct window_kernel *k, const float *x, float *y, int block)
{
    FOR_PIXELS(k, i, j)
    {
        struct window r = k->rows[i], c = k->columns[j];
        double sum[CPU_MAX_BLOCK] = {0}, size = (double)(r.size * c.size);

        FOR_WINDOW(r, c, v, u)
        {
            const float *at = x + (v * k->width + u) * block;

            FOR_LANES(b, block)
            sum[b] += (double)at[b];
        }
        FOR_LANES(b, block)
        y[b] = (float)(sum[b] / size);
        y += block;
    }
}

/* dx is zero. */
INLINE void mean_grad_plane(const struct window_kernel *k, const float *dy, float *dx, int block)
{
    FOR_PIXELS(k, i, j)
    {
        struct window r = k->rows[i], c = k->columns[j];
        float share[CPU_MAX_BLOCK], size = (float)(r.size * c.size);

        FOR_LANES(b, block)
        share[b] = dy[b] / size;
        FOR_WINDOW(r, c, v, u)
        {
            float *at = dx + (v * k->width + u) * block;

            FOR_LANES(b, block)
            at[b] += share[b];
        }
        dy += block;
    }
}

/* Calls PLANE with the number of lanes as a constant. */
#define BY_BLOCK(k, PLANE, ...)        \
    do {                               \
        if ((k)->block == 16)          \
            PLANE(k, __VA_ARGS__, 16); \
        else if ((k)->block == 8)      \
            PLANE(k, __VA_ARGS__, 8);  \
        else                           \
            PLANE(k, __VA_ARGS__, 1);  \
    } while (0)

CLONES static void run_max(const struct window_kernel *k, void *const *args, int64_t plane)
{
    BY_BLOCK(k, max_plane, (const float *)args[0] + large(k, plane),
             (float *)args[1] + small(k, plane));
}

CLONES static void run_mean(const struct window_kernel *k, void *const *args, int64_t plane)
{
    BY_BLOCK(k, mean_plane, (const float *)args[0] + large(k, plane),
             (float *)args[1] + small(k, plane));
}

static float *zeroed(const struct window_kernel *k, void *arg, int64_t plane)
{
    float *dx = (float *)arg + large(k, plane);

    memset(dx, 0, (size_t)large(k, 1) * sizeof(*dx));
    return dx;
}

CLONES static void run_max_grad(const struct window_kernel *k, void *const *args, int64_t plane)
{
    BY_BLOCK(k, max_grad_plane, (const float *)args[0] + large(k, plane),
             (const float *)args[1] + small(k, plane), zeroed(k, args[2], plane));
}

CLONES static void run_mean_grad(const struct window_kernel *k, void *const *args, int64_t plane)
{
    BY_BLOCK(k, mean_grad_plane, (const float *)args[0] + small(k, plane),
             zeroed(k, args[1], plane));
}

static void run_planes(struct kernel *base, void *const *args)
{
    const struct window_kernel *k = (const struct window_kernel *)base;

#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t p = 0; p < k->planes; p++)
        k->run(k, args, p);
}

static void free_window(struct kernel *base)
{
    struct window_kernel *k = (struct window_kernel *)base;

    free(k->rows);
    free(k->columns);
    free(k);
}

static struct window *windows(const struct node *n, int axis, int64_t out, int64_t in)
{
    struct window *w = NEW_ARRAY(struct window, (size_t)out);

    for (int64_t i = 0; i < out; i++)
        w[i] = window_of(n->op, n->attr, axis, i, in);
    return w;
}

/* Which value is as large as the input of the forward operator, and which as its output. */
static const struct row {
    const struct op_def *op;
    void (*run)(const struct window_kernel *k, void *const *args, int64_t plane);
    bool backward;
} rows[] = {
    {&op_max_pool, run_max, false},
    {&op_max_pool_grad, run_max_grad, true},
    {&op_average_pool, run_mean, false},
    {&op_average_pool_grad, run_mean_grad, true},
    {&op_adaptive_average_pool, run_mean, false},
    {&op_adaptive_average_pool_grad, run_mean_grad, true},
    {&op_resize_nearest, run_mean, false},
    {&op_resize_nearest_grad, run_mean_grad, true},
};

static struct kernel *window_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                    struct error *err)
{
    const struct row *row = rows;
    struct window_kernel *k = NEW(struct window_kernel);
    struct cpu_image image;
    const struct shape *in, *out;

    (void)err;
    while (row->op != n->op)
        row++;
    in = graph_shape(g, row->backward ? n->out[0] : n->in[0]);
    out = graph_shape(g, row->backward ? n->in[n->n_in - 1] : n->out[0]);
    image = cpu_image_of(c, g, n->in[0]);
    *k = (struct window_kernel){
        .base = {.run = run_planes, .free = free_window, .impl = "windows"},
        .run = row->run,
        .planes = image.samples * image.blocks,
        .height = in->dim[2],
        .width = in->dim[3],
        .out_height = out->dim[2],
        .out_width = out->dim[3],
        .rows = windows(n, 0, out->dim[2], in->dim[2]),
        .columns = windows(n, 1, out->dim[3], in->dim[3]),
        .block = image.block,
        .threads = c->base.threads,
    };
    return &k->base;
}

const struct cpu_op cpu_window_ops[] = {
    {.op = &op_max_pool, .kernel = window_kernel},
    {.op = &op_max_pool_grad, .kernel = window_kernel},
    {.op = &op_average_pool, .kernel = window_kernel},
    {.op = &op_average_pool_grad, .kernel = window_kernel},
    {.op = &op_adaptive_average_pool, .kernel = window_kernel},
    {.op = &op_adaptive_average_pool_grad, .kernel = window_kernel},
    {.op = &op_resize_nearest, .kernel = window_kernel},
    {.op = &op_resize_nearest_grad, .kernel = window_kernel},
    {.op = NULL},
};
