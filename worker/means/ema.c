#include "worker/means/ema.h"

#include <stdlib.h>

#include "proto/base/mem.h"

void means_ema_init(struct means_ema *e, int classes, int width, double momentum)
{
    ASSERT(classes > 0 && width > 0 && 0 <= momentum && momentum < 1);
    *e = (struct means_ema){.classes = classes, .width = width, .momentum = momentum};
    e->mean = NEW_ARRAY(double, (size_t)classes *(size_t)width);
    e->batches = NEW_ARRAY(int64_t, (size_t)classes);
}

void means_ema_free(struct means_ema *e)
{
    free(e->mean);
    free(e->batches);
    *e = (struct means_ema){0};
}

void means_ema_step(struct means_ema *e, const struct means_sums *batch)
{
    for (int c = 0; c < e->classes; c++) {
        const double keep = e->batches[c] ? e->momentum : 0;
        double *mean = e->mean + (size_t)c * (size_t)e->width;

        if (!batch->counts[c])
            continue;
        for (int i = 0; i < e->width; i++)
            mean[i] = keep * mean[i] + (1 - keep) * means_sums_mean(batch, c, i);
        e->batches[c]++;
    }
}

void means_ema_unit(const struct means_ema *e, float *unit)
{
    for (int c = 0; c < e->classes; c++) {
        const size_t at = (size_t)c * (size_t)e->width;

        means_direction(e->mean + at, e->width, unit + at);
    }
}
