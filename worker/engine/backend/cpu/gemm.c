/* Matrix products: y = op(a) op(b) + bias. Networks have few and small ones, at their ends, and a library that
 * first generates its kernels spent more on that than a run of hundred steps on all of them.
 *
 * A panel of columns at a time, whose part of b is packed, for as many inner products at once as stay in the
 * first cache. These parts are summed in order, so that neither threads nor other rows show in a result. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/backend/cpu/gemm_kernels.h"
#include "worker/engine/ops/ops.h"

enum {
    PART = 192 /* of the inner dimension */
};

struct gemm_kernel {
    struct kernel base;
    const struct gemm_math *math;
    int64_t rows, columns, inner;
    int64_t a_row, a_step, b_step, b_column; /* floats to the next row, k, k and column */
    bool bias;
    int threads;
};

/* b[from, from + p->inner) of the panel's columns. */
static void pack(const struct gemm_kernel *k, const float *b, int64_t columns, int64_t inner,
                 float *out)
{
    int width = k->math->width;

    if (columns < width)
        memset(out, 0, (size_t)(inner * width) * sizeof(*out));
    if (k->b_column == 1) {
        for (int64_t i = 0; i < inner; i++)
            memcpy(out + i * width, b + i * k->b_step, (size_t)columns * sizeof(*out));
        return;
    }
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < inner; i++)
            out[i * width + j] = b[j * k->b_column + i * k->b_step];
}

static void start_with_bias(const struct gemm_kernel *k, const float *bias, float *y,
                            int64_t columns)
{
    for (int64_t i = 0; i < k->rows; i++)
        memcpy(y + i * k->columns, bias, (size_t)columns * sizeof(*y));
}

static void run_panel(const struct gemm_kernel *k, void *const *args, int64_t column, float *packed)
{
    const float *a = args[0], *b = (const float *)args[1] + column * k->b_column;
    float *y = (float *)args[k->bias ? 3 : 2] + column;
    int64_t left = k->columns - column;
    struct gemm_panel p = {.b = packed,
                           .y = y,
                           .a_row = k->a_row,
                           .a_step = k->a_step,
                           .y_row = k->columns,
                           .rows = k->rows,
                           .columns = left < k->math->width ? left : k->math->width};

    if (k->bias)
        start_with_bias(k, (const float *)args[2] + column, y, p.columns);
    for (int64_t from = 0; from < k->inner; from += PART) {
        p.inner = k->inner - from < PART ? k->inner - from : PART;
        p.a = a + from * k->a_step;
        p.add = k->bias || from > 0;
        pack(k, b + from * k->b_step, p.columns, p.inner, packed);
        k->math->run(&p);
    }
}

static void run_gemm(struct kernel *base, void *const *args)
{
    const struct gemm_kernel *k = (const struct gemm_kernel *)base;
    int64_t width = k->math->width;
    float *packed = args[k->bias ? 4 : 3];

#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t column = 0; column < k->columns; column += width)
        run_panel(k, args, column, packed + omp_get_thread_num() * PART * width);
}

static void free_gemm(struct kernel *k)
{
    free(k);
}

static struct kernel *gemm_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                  struct error *err)
{
    const struct gemm_attr *t = n->attr;
    const struct shape *a = graph_shape(g, n->in[0]), *b = graph_shape(g, n->in[1]);
    struct gemm_kernel *k = NEW(struct gemm_kernel);

    (void)err;
    k->base = (struct kernel){.run = run_gemm, .free = free_gemm, .impl = "panels"};
    k->math = gemm_math(c->simd);
    k->rows = graph_shape(g, n->out[0])->dim[0];
    k->columns = graph_shape(g, n->out[0])->dim[1];
    k->inner = a->dim[t->trans_a ? 0 : 1];
    k->a_row = t->trans_a ? 1 : a->dim[1];
    k->a_step = t->trans_a ? a->dim[1] : 1;
    k->b_step = t->trans_b ? 1 : b->dim[1];
    k->b_column = t->trans_b ? b->dim[1] : 1;
    k->bias = n->n_in > 2;
    k->threads = c->base.threads;
    k->base.scratch_bytes = (size_t)k->threads * PART * (size_t)k->math->width * sizeof(float);
    return &k->base;
}

const struct cpu_op cpu_gemm_ops[] = {
    {.op = &op_gemm, .kernel = gemm_kernel},
    {.op = NULL},
};
