#include "proto/base/mem.h"
#include "worker/losses/review.h"
#include "worker/losses/terms.h"

/* Averaging is linear, so it is the difference that is averaged: once, not on both sides. */
value_id hcl_build(struct graph *g, value_id student, value_id teacher)
{
    static const int64_t cells[] = {4, 2, 1};
    value_id apart = g_sub(g, student, teacher), sum = term_mean_square(g, apart);
    double weight = 1, total = 1;
    int64_t height;

    if (apart < 0)
        return NO_VALUE;
    height = graph_shape(g, apart)->dim[2];
    for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
        value_id level;

        if (cells[i] >= height)
            continue;
        weight /= 2;
        total += weight;
        level = term_mean_square(g, g_adaptive_average_pool(g, apart, cells[i], cells[i]));
        sum = g_add(g, sum, g_scale(g, level, weight));
    }
    return g_scale(g, sum, 1 / total);
}
