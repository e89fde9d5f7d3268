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

static double warmup_steps(const struct schedule_args *a)
{
    return a->warmup_epochs * (double)a->steps_per_epoch;
}

/* Half a wave, from the end of the warm-up to that of the run. */
static double cosine(const struct schedule_args *a, int64_t step)
{
    double done = (double)step - warmup_steps(a), all = (double)a->total_steps - warmup_steps(a);

    if (done <= 0)
        return 1;
    return a->least + (1 - a->least) * 0.5 * (1 + cos(3.141592653589793 * done / all));
}

static double constant(const struct schedule_args *a, int64_t step)
{
    (void)a;
    (void)step;
    return 1;
}

const struct schedule_def schedule_registry[] = {
    {"multistep", "milestones,gamma", multistep},
    {"cosine", "min_lr", cosine},
    {"constant", "", constant},
};
const size_t schedule_registry_len = ARRAY_LEN(schedule_registry);

const struct schedule_def *schedule_find(const char *name)
{
    return table_find(TABLE(schedule_registry), name);
}

double schedule_lr(const struct schedule_def *def, const struct schedule_args *a, double base,
                   int64_t step)
{
    double warmup = warmup_steps(a), done = (double)(step + 1);
    double ramp = done < warmup ? done / warmup : 1;

    return base * def->factor(a, step) * ramp;
}
