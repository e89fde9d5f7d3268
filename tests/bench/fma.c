/* GFLOP/s of 1, 2, ... threads, the median of windows that alternate between them: tests/bench/fma. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/opt.h"
#include "tests/bench/peak.h"
#include "worker/norms.h"

struct bench {
    int64_t threads, windows;
    double seconds;
};

static const struct opt rows[] = {
    OPT(struct bench, threads, OPT_INT, "threads", "1, 2, 4, ... up to so many", .value = "N",
        .fallback = "2", .lo = 1, .hi = 256),
    OPT(struct bench, windows, OPT_INT, "windows", "of each number of threads", .value = "N",
        .fallback = "5", .lo = 1, .hi = 1000),
    OPT(struct bench, seconds, OPT_REAL, "seconds", "that a window takes", .value = "S",
        .fallback = "0.1"),
};

static void run(const struct bench *b)
{
    double *rates[10] = {NULL}; /* of 1, 2, 4, ... 256 threads */

    for (int k = 0; 1 << k <= b->threads; k++)
        rates[k] = NEW_ARRAY(double, (size_t)b->windows);
    for (int64_t i = 0; i < b->windows; i++)
        for (int k = 0; rates[k]; k++)
            rates[k][i] = peak_gflops(1 << k, b->seconds);
    for (int k = 0; rates[k]; k++) {
        norms_sort(rates[k], b->windows);
        printf("%d\t%.1f\n", 1 << k, norms_quantile(rates[k], b->windows, 0.5));
        free(rates[k]);
    }
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    const struct opt_set all = OPT_SET(rows, &b);
    struct opt_words words = {argv + 1, (size_t)argc - 1};
    struct error err = {0};

    if (opt_defaults(&all, &err) && opt_parse(&all, 1, &words, &err)) {
        run(&b);
        return 0;
    }
    fprintf(stderr, "%s: %s\n", argv[0], err.msg);
    return err_exit_status(err.code);
}
