#include "worker/engine/ops/ops.h"
#include "worker/engine/ops/util.h"

static void infer_reorder(struct graph *g, struct node *n)
{
    set_shape(g, n, 0, *in_shape(g, n, 0));
}

const struct op_def op_reorder = {
    .name = "Reorder",
    .is_private = true,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .infer = infer_reorder,
};
