#include "daemon/share.h"

#include <math.h>

#include "daemon/queue.h"

double share_decayed(double used, int64_t elapsed_ms)
{
    return elapsed_ms > 0 ? used * exp2(-(double)elapsed_ms / SHARE_HALF_LIFE_MS) : used;
}

void share_out(struct share *all, size_t n)
{
    double weights = 0, used = 0;

    for (size_t i = 0; i < n; i++) {
        weights += all[i].weight;
        used += all[i].used;
    }
    for (size_t i = 0; i < n; i++) {
        double due = all[i].weight / weights, had = used > 0 ? all[i].used / used : due;

        all[i].ahead_ms = llround((due - had) * SHARE_POINTS * QUEUE_AGING_MS);
    }
}
