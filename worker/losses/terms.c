#include "worker/losses/terms.h"

/* Keeps 0/0 away where a feature vanishes; the authors' code has no such guard. */
static const double smallest_norm = 1e-12;

value_id term_cross_entropy(struct graph *g, value_id logits, value_id labels)
{
    return g_scale(g, g_pick(g, g_log_softmax(g, logits), labels), -1);
}

value_id term_kl(struct graph *g, value_id log_t, value_id log_s)
{
    value_id apart = g_sub(g, log_t, log_s); /* first: compilers order arguments as they like */

    return g_row_sum(g, g_mul(g, g_exp(g, log_t), apart));
}

value_id term_dot(struct graph *g, value_id a, value_id b)
{
    return g_row_sum(g, g_mul(g, a, b));
}

value_id term_norm(struct graph *g, value_id x)
{
    value_id norm = g_row_norm(g, x);

    return g_max(g, norm, g_affine(g, 0, norm, smallest_norm));
}

value_id term_mean_square(struct graph *g, value_id x)
{
    struct shape s;
    value_id norm;

    if (x < 0)
        return NO_VALUE;
    s = *graph_shape(g, x);
    norm = g_row_norm(g, s.rank == 4 ? g_flatten(g, x) : x);
    return g_scale(g, g_mul(g, norm, norm), (double)s.dim[0] / (double)shape_count(&s));
}

value_id term_shared_mean(struct graph *g, value_id x, int64_t batch)
{
    int64_t n;
    value_id sum;

    if (x < 0)
        return NO_VALUE;
    n = graph_shape(g, x)->dim[0];
    sum = g_column_sum(g, g_view(g, x, shape2(n, 1)));
    return g_view(g, g_expand(g, g_scale(g, sum, 1 / (double)n), 0, batch), shape1(batch));
}
