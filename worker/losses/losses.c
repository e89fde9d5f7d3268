#include <string.h>

#include "proto/base/mem.h"
#include "worker/losses/loss.h"

const struct loss_def *const loss_registry[] = {
    &loss_ce,      &loss_kd,   &loss_dkd,  &loss_dist, &loss_reviewkd, &loss_nd,   &loss_cosine,
    &loss_infonce, &loss_sifn, &loss_hafn, &loss_l2,   &loss_norm_l2,  &loss_hint,
};
const size_t loss_registry_len = ARRAY_LEN(loss_registry);

#define PARAM(field)                                 \
    {                                                \
#        field, offsetof(struct loss_params, field), \
    }

const struct loss_param loss_param_table[] = {
    PARAM(temperature),  PARAM(label_smoothing), PARAM(alpha),
    PARAM(beta),         PARAM(gamma),           PARAM(tau),
    PARAM(norm_step),    PARAM(norm_target),     PARAM(student_taps),
    PARAM(teacher_taps), PARAM(mid_width),       PARAM(layer),
    PARAM(scope),
};
const size_t n_loss_params = ARRAY_LEN(loss_param_table);

const struct loss_def *loss_find(const char *name)
{
    for (size_t i = 0; i < loss_registry_len; i++)
        if (strcmp(loss_registry[i]->name, name) == 0)
            return loss_registry[i];
    return NULL;
}
