#include "daemon/histogram.h"

const double histogram_bounds[HISTOGRAM_BOUNDS] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                                   0.01,   0.025,   0.1,    0.5,   1,      5};

void histogram_add(struct histogram *h, double seconds)
{
    size_t i = 0;

    while (i < HISTOGRAM_BOUNDS && seconds > histogram_bounds[i])
        i++;
    h->counts[i]++;
    h->sum += seconds;
}
