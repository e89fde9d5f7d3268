/* Matrix products by oneDNN's sgemm, which is row-major: C = op(A) op(B) + beta C. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/ops/ops.h"

struct gemm_kernel {
    struct kernel base;
    int64_t rows, columns, inner, lda, ldb;
    char trans_a, trans_b;
    bool bias;
};

static void run_gemm(struct kernel *k, void *const *args)
{
    const struct gemm_kernel *m = (const struct gemm_kernel *)k;
    float *y = args[m->bias ? 3 : 2];

    for (int64_t i = 0; m->bias && i < m->rows; i++)
        memcpy(y + i * m->columns, args[2], (size_t)m->columns * sizeof(float));
    ASSERT(dnnl_sgemm(m->trans_a, m->trans_b, m->rows, m->columns, m->inner, 1, args[0], m->lda,
                      args[1], m->ldb, m->bias ? 1 : 0, y, m->columns) == dnnl_success);
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

    (void)c;
    (void)err;
    k->base = (struct kernel){.run = run_gemm, .free = free_gemm, .impl = "oneDNN sgemm"};
    k->rows = graph_shape(g, n->out[0])->dim[0];
    k->columns = graph_shape(g, n->out[0])->dim[1];
    k->inner = a->dim[t->trans_a ? 0 : 1];
    k->lda = a->dim[1];
    k->ldb = b->dim[1];
    k->trans_a = t->trans_a ? 'T' : 'N';
    k->trans_b = t->trans_b ? 'T' : 'N';
    k->bias = n->n_in > 2;
    return &k->base;
}

const struct cpu_op cpu_gemm_ops[] = {
    {.op = &op_gemm, .kernel = gemm_kernel},
    {.op = NULL},
};
