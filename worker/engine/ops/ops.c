#include "worker/engine/ops/ops.h"

#include <string.h>

#include "proto/base/mem.h"

const struct op_def *const op_registry[] = {
    &op_conv,
    &op_fused_conv,
    &op_conv_input_grad,
    &op_conv_weight_grad,
    &op_batch_norm,
    &op_batch_norm_grad,
    &op_batch_norm_train,
    &op_fused_batch_norm_train,
    &op_batch_norm_train_grad,
    &op_global_average_pool,
    &op_global_average_pool_grad,
    &op_gemm,
    &op_add,
    &op_sub,
    &op_mul,
    &op_div,
    &op_exp,
    &op_relu,
    &op_relu_grad,
    &op_affine,
    &op_max,
    &op_max_grad,
    &op_reduce_sum,
    &op_reduce_l2,
    &op_reduce_l2_grad,
    &op_expand,
    &op_channel_sum,
    &op_log_softmax,
    &op_log_softmax_grad,
    &op_gather,
    &op_pick,
    &op_pick_grad,
    &op_flatten,
    &op_view,
    &op_reorder,
};
const size_t op_registry_len = ARRAY_LEN(op_registry);

const struct op_def *op_find(const char *name)
{
    for (size_t i = 0; i < op_registry_len; i++)
        if (strcmp(op_registry[i]->name, name) == 0)
            return op_registry[i];
    return NULL;
}
