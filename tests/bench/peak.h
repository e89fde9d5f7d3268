/* What the cores can do at most: fused multiplications and additions of floats in registers alone. */
#ifndef TESTS_BENCH_PEAK_H
#define TESTS_BENCH_PEAK_H

/* GFLOP/s of so many threads together over so many seconds of wall time, by the widest instructions that this
 * processor has. */
double peak_gflops(int threads, double seconds);
/* The same, but the sum of what each did in its best 30 microseconds or so: on a machine that others use, what
 * the cores can do rather than what is left of them. */
double peak_best_gflops(int threads, double seconds);

#endif
