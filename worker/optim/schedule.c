#include <math.h>

#include "proto/base/mem.h"
#include "proto/base/table.h"
#include "worker/optim/optim.h"

static double multistep(const struct schedule_args *a, int64_t step)
{
    double factor = 1;

    for (size_t i = 0; i < a->n_milestones; i++)
        if (step >= a->milestones[i] * a->steps_per_epoch)
            factor *= a->gamma;
    return factor;
}

static double cosine(const struct schedule_args *a, int64_t step)
{
    return 0.5 * (1 + cos(3.141592653589793 * (double)step / (double)a->total_steps));
}

static double constant(const struct schedule_args *a, int64_t step)
{
    (void)a;
    (void)step;
    return 1;
}

const struct schedule_def schedule_registry[] = {
    {"multistep", multistep},
    {"cosine", cosine},
    {"constant", constant},
};
const size_t schedule_registry_len = ARRAY_LEN(schedule_registry);

const struct schedule_def *schedule_find(const char *name)
{
    return table_find(TABLE(schedule_registry), name);
}

double schedule_lr(const struct schedule_def *def, const struct schedule_args *a, double base,
                   double warmup_epochs, int64_t step)
{
    double warmup_steps = warmup_epochs * (double)a->steps_per_epoch;
    double ramp = (double)(step + 1) < warmup_steps ? (double)(step + 1) / warmup_steps : 1;

    return base * def->factor(a, step) * ramp;
}
