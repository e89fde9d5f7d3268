/* Cross-entropy, with label smoothing e: (1 - e) of the label, and e spread evenly over all classes. */
#include "worker/losses/loss.h"
#include "worker/losses/terms.h"

static value_id build(struct graph *g, const struct loss_args *a)
{
    double e = a->params->label_smoothing;
    value_id all = g_log_softmax(g, a->student.logits);
    value_id label = g_scale(g, g_pick(g, all, a->labels), e - 1), even;

    if (e == 0 || all < 0)
        return label;
    even = g_scale(g, g_row_sum(g, all), e / (double)graph_shape(g, all)->dim[1]);
    return g_sub(g, label, even);
}

const struct loss_def loss_ce = {.name = "ce", .params = "label_smoothing", .build = build};
