#include "client/patience.h"

#include <math.h>
#include <time.h>

#include "proto/base/clock.h"

static const double first_pause_s = 0.2, longest_pause_s = 5, patience_s = 120;

void patience_wait(struct patience *p)
{
    struct timespec t;

    p->pause_s = fmin(fmax(2 * p->pause_s, first_pause_s), longest_pause_s);
    if (p->lost_at <= 0)
        p->lost_at = clock_mono_s();
    t = (struct timespec){(time_t)p->pause_s, (long)((p->pause_s - floor(p->pause_s)) * 1e9)};
    nanosleep(&t, NULL);
}

bool patience_left(const struct patience *p, const struct error *err)
{
    return err->code == ERR_UNREACHABLE &&
           (p->lost_at <= 0 || clock_mono_s() - p->lost_at <= patience_s);
}
