#include <inttypes.h>

#include "worker/engine/ops/ops.h"
#include "worker/engine/ops/util.h"

static const struct attr_spec gemm_attrs[] = {
    ATTR_I("transA", struct gemm_attr, trans_a, 0),
    ATTR_I("transB", struct gemm_attr, trans_b, 0),
    ATTR_END,
};

static void infer_gemm(struct graph *g, struct node *n)
{
    const struct gemm_attr *t = n->attr;
    const struct shape *a = in_shape(g, n, 0), *b = in_shape(g, n, 1);
    int64_t rows, columns, ka, kb;
    struct shape bias;

    if (!need_rank(g, n, 0, 2) || !need_rank(g, n, 1, 2))
        return;
    rows = a->dim[t->trans_a ? 1 : 0];
    ka = a->dim[t->trans_a ? 0 : 1];
    kb = b->dim[t->trans_b ? 1 : 0];
    columns = b->dim[t->trans_b ? 0 : 1];
    bias = shape1(columns);
    if (ka != kb)
        graph_fail(g, ERR_INVALID, "inner dimensions differ: %" PRId64 " and %" PRId64, ka, kb);
    else if (n->n_in < 3 || need_shape(g, n, 2, &bias))
        set_shape(g, n, 0, shape2(rows, columns));
}

static void gemm_grad(struct graph *g, const struct node *n, const value_id *dout, const bool *need,
                      value_id *din)
{
    const struct gemm_attr *t = n->attr;
    value_id a = n->in[0], b = n->in[1], dy = dout[0];

    if (t->trans_a) {
        graph_fail(g, ERR_UNSUPPORTED, "gradient of a product with transA");
        return;
    }
    if (need[0])
        din[0] = g_gemm(g, "", dy, b, NO_VALUE, false, !t->trans_b);
    if (need[1])
        din[1] = t->trans_b ? g_gemm(g, "", dy, a, NO_VALUE, true, false)
                            : g_gemm(g, "", a, dy, NO_VALUE, true, false);
    if (n->n_in > 2 && need[2])
        din[2] = g_column_sum(g, dy);
}

static double gemm_flops(const struct graph *g, const struct node *n)
{
    const struct gemm_attr *t = n->attr;

    return 2 * (double)shape_count(graph_shape(g, n->out[0])) *
           (double)graph_shape(g, n->in[0])->dim[t->trans_a ? 0 : 1];
}

const struct op_def op_gemm = {
    .name = "Gemm",
    .min_in = 2,
    .max_in = 3,
    .n_out = 1,
    .attrs = gemm_attrs,
    .attr_size = sizeof(struct gemm_attr),
    .infer = infer_gemm,
    .grad = gemm_grad,
    .flops = gemm_flops,
};

value_id g_gemm(struct graph *g, const char *name, value_id a, value_id b, value_id bias,
                bool trans_a, bool trans_b)
{
    const struct gemm_attr t = {.trans_a = trans_a, .trans_b = trans_b};

    if (a < 0 || b < 0)
        return NO_VALUE;
    return graph_add(g, &op_gemm, name, (value_id[]){a, b, bias}, bias < 0 ? 2 : 3, &t);
}
